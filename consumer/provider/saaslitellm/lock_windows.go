package saaslitellm

import (
	"os"

	"golang.org/x/sys/windows"
)

// tryLock takes the file's lock, which ends with the process that holds it. The byte that is
// locked lies far behind what is written, as others may read that.
func tryLock(f *os.File) bool {
	at := &windows.Overlapped{OffsetHigh: 1 << 20}
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, at) == nil
}
