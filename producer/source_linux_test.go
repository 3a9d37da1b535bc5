package producer_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"nightshift/producer"
)

// Root may read everything, so this thread becomes somebody else for file access. It is never
// unlocked: the runtime ends it with the goroutine.
func TestOpenWithoutPermission(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.jsonl")
	if err := os.WriteFile(path, []byte("{}\n"), 0o000); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			const nobody = 65534
			_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		}
		_, err := producer.Open(path)
		done <- err
	}()
	checkSourceError(t, <-done, "permission denied", fs.ErrPermission)
}
