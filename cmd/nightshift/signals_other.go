//go:build !unix

package main

// ignoreFileLimit has nothing to ignore here.
func ignoreFileLimit() {}
