package main

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// While the store cannot be written no call is made that nobody could keep: those that were under
// way wait, and when there is room again they are stored. Nothing is called twice.
func TestRunWithAFullDisk(t *testing.T) {
	t.Parallel()
	const jobs = 3000
	dir := t.TempDir()
	p := simulate(t, "latency=20ms,words=600")
	file := prompts(t, dir, "full", jobs, plain)
	c := start(t, dir, runArgs(file, p)...)
	limit := func(bytes uint64) {
		l := &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_FSIZE, l, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.while("the broker", func() bool { return brokerOf(t, filepath.Join(dir, "store"), c) != "" })
	c.while("calls", func() bool { return p.stats().Calls > 0 })
	limit(1 << 20)
	c.while("complaints of both", func() bool {
		said := c.stderr.String()
		return strings.Contains(said, "the store cannot be written") && strings.Contains(said, "answers wait in memory")
	})
	limit(unix.RLIM_INFINITY)
	c.must(exitOK)
	whole(t, answersOf(file), jobs)
	if ids, extra := p.more(); extra > 0 {
		t.Errorf("%d calls too many: %v", extra, ids)
	}
}
