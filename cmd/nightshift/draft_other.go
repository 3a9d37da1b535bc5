//go:build !unix

package main

import (
	"errors"
	"os"
)

// finish does the last thing to a draft. An open file can be neither renamed nor removed here.
func finish(f *os.File, do func() error) error { return errors.Join(f.Close(), do()) }

// lockDraft does nothing: two runs that write the same file at a time are the user's to avoid.
func lockDraft(*os.File) error { return nil }
