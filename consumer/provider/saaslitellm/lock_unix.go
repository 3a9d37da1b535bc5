//go:build unix

package saaslitellm

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the file's lock, which ends with the process that holds it.
func tryLock(f *os.File) bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }
