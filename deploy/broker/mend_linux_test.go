package broker_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A store that could not be written for a while is written again, by the owner and by a guest, and
// all that was acknowledged is there.
func TestDiskFullForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := spawn(t, dir, "insist")
	p.line(t, "stored")
	guest := start(t, dir)
	limit := func(bytes uint64) {
		check(t, unix.Prlimit(p.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil))
	}
	limit(1 << 20)
	refused := p.line(t, "refused")
	limit(unix.RLIM_INFINITY)
	n, err := strconv.Atoi(refused)
	check(t, err)
	for stored := ""; stored != strconv.Itoa(n+100); {
		stored = p.line(t, "stored")
	}
	js := client(t, guest)
	for end := time.Now().Add(time.Minute); ; {
		once, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := js.Publish(once, "jobs.q", []byte("guest"))
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the guest cannot publish: %v", err)
		}
	}
	check(t, p.Process.Kill())
	_ = p.Wait()
	b := start(t, dir)
	s, err := client(t, b).Stream(t.Context(), "JOBS")
	check(t, err)
	seen := map[int]bool{}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		check(t, err)
		var n int
		if _, err := fmt.Sscan(string(m.Data[:min(8, len(m.Data))]), &n); err == nil {
			seen[n] = true
		}
	}
	for i := 1; i <= n+100; i++ {
		if !seen[i] {
			t.Errorf("message %d was acknowledged and is gone", i)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
