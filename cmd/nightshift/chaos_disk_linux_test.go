package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// limitFiles makes writes beyond a size fail, as on a full disk.
func (c *child) limitFiles(bytes uint64) {
	c.t.Helper()
	l := &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_FSIZE, l, nil); err != nil {
		c.t.Fatal(err)
	}
}

// While the store cannot be written no call is made that nobody could keep: those that were under
// way wait, and when there is room again they are stored. Nothing is called twice.
func TestRunWithAFullDisk(t *testing.T) {
	t.Parallel()
	const jobs = 3000
	dir := t.TempDir()
	p := simulate(t, "latency=20ms,words=600")
	file := prompts(t, dir, "full", jobs, plain)
	c := start(t, dir, runArgs(file, p)...)
	c.while("the broker", func() bool { return brokerOf(t, filepath.Join(dir, "store"), c) != "" })
	c.while("calls", func() bool { return p.stats().Calls > 0 })
	c.limitFiles(1 << 20)
	c.while("complaints of both", func() bool {
		said := c.stderr.String()
		return strings.Contains(said, "the store cannot be written") && strings.Contains(said, "answers wait in memory")
	})
	c.limitFiles(unix.RLIM_INFINITY)
	c.must(exitOK)
	whole(t, answersOf(file), jobs)
	if ids, extra := p.more(); extra > 0 {
		t.Errorf("%d calls too many: %v", extra, ids)
	}
}

// A store that cannot be written makes serve unready, and is no reason to kill it.
func TestServeWithAFullDisk(t *testing.T) {
	t.Parallel()
	const jobs = 1500
	p := simulate(t, "latency=10ms,words=600")
	s := serveIn(t, acme(p.base, 16))
	s.isReady(t)
	s.limitFiles(1 << 20)
	s.submit(t, "night", jobs)
	s.while("unready", func() bool {
		code, body := s.get(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the store cannot be written")
	})
	if code, body := s.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz %d %q", code, body)
	}
	s.limitFiles(unix.RLIM_INFINITY)
	s.isReady(t)
	s.while("all answered", func() bool {
		_, metrics := s.get(t, "/metrics")
		return value(metrics, `nightshift_jobs_total{outcome="answered",queue="default"}`) == jobs
	})
	if _, extra := p.more(); extra > 0 {
		t.Errorf("%d calls too many", extra)
	}
}
