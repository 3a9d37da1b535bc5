//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// finish does the last thing to a draft while its lock is held.
func finish(f *os.File, do func() error) error { return errors.Join(do(), f.Close()) }

// lockDraft waits until no other process writes the same draft. The lock goes with the file.
func lockDraft(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
