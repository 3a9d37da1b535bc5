package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runArgs drain one file of a directory; its answers go to <name>.answers.
func runArgs(file string, p *provider, more ...string) []string {
	args := []string{
		"run", file, "-o", answersOf(file), "--store", "store", "--base-url", p.base,
		"--max-in-flight", strconv.Itoa(flight),
	}
	return append(args, more...)
}

func answersOf(file string) string { return strings.TrimSuffix(file, ".jsonl") + ".answers" }

// What was in flight when everything was killed is called again as soon as the broker is back:
// nobody waits for the leases of the dead.
func TestRestartAtOnce(t *testing.T) {
	t.Parallel()
	const jobs = 8
	dir := t.TempDir()
	p := simulate(t, "")
	file := prompts(t, dir, "slow", jobs, func(int) string { return "[[sim:okx1,latency=20s]]" })
	c := start(t, dir, runArgs(file, p)...)
	c.while("all calls", func() bool { return p.stats().InFlight == jobs })
	c.kill()
	c = start(t, dir, runArgs(file, p)...)
	c.while("the broker", func() bool { return brokerOf(t, filepath.Join(dir, "store"), c) != "" })
	ready := time.Now()
	c.while("calls", func() bool { return p.stats().Calls > jobs })
	first := time.Since(ready)
	c.while("all calls", func() bool { return p.stats().Calls == 2*jobs })
	all := time.Since(ready)
	c.must(exitOK)
	t.Logf("the broker was back: first call after %v, all %d after %v", first, jobs, all)
	if all > 5*time.Second {
		t.Errorf("all calls again only after %v; a lease is 30s, the promise is 1s", all)
	}
	whole(t, answersOf(file), jobs)
	if told := madeTwice(t, c); told != jobs {
		t.Errorf("the summary says %d calls were made twice: it were %d", told, jobs)
	}
}

// A job that kills its worker whenever it is called is given up after ten times, although every
// time the broker goes down with it. The others are answered.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	const jobs, poison, limit = 60, 20, 10
	dir := t.TempDir()
	p := simulate(t, "latency=20ms")
	file := prompts(t, dir, "poison", jobs, func(i int) string {
		if i == poison {
			return "[[sim:hang]]"
		}
		return plain(i)
	})
	crashes := 0
	for ; crashes <= 3*limit; crashes++ {
		c := start(t, dir, runArgs(file, p)...)
		if !c.while("the poison", func() bool { return p.called("p-20") > crashes }) {
			c.must(exitDead)
			break
		}
		c.kill()
	}
	_, bad := whole(t, answersOf(file), jobs)
	t.Logf("%d crashes, dead %v %v", crashes, len(bad), classes(bad))
	if len(bad) != 1 || bad[0].number() != poison || bad[0].Error == nil || bad[0].Error.Code != "crash_loop" {
		t.Errorf("dead: %+v, want only the poison, as crash_loop", bad)
	}
	if crashes != limit {
		t.Errorf("called %d times, want %d", crashes, limit)
	}
}

// A finished file makes no call and writes the same bytes again; no provider is needed.
func TestRerunOfAFinishedFile(t *testing.T) {
	t.Parallel()
	const jobs = 500
	dir := t.TempDir()
	p := simulate(t, "latency=5ms")
	file := prompts(t, dir, "done", jobs, func(i int) string {
		if i%50 == 0 {
			return "[[sim:400]]"
		}
		return plain(i)
	})
	start(t, dir, runArgs(file, p)...).must(exitDead)
	before := readBoth(t, answersOf(file))
	whole(t, answersOf(file), jobs)
	for _, args := range [][]string{
		runArgs(file, p), {"run", file, "-o", answersOf(file), "--store", "store"},
	} {
		start(t, dir, args...).must(exitDead)
		if !bytes.Equal(before, readBoth(t, answersOf(file))) {
			t.Error("the outputs are not the same bytes")
		}
	}
	if s := p.stats(); s.Calls != jobs {
		t.Errorf("%d calls of %d jobs", s.Calls, jobs)
	}
}

func readBoth(t *testing.T, answers string) []byte {
	t.Helper()
	a, err := os.ReadFile(answers)
	if err != nil {
		t.Fatal(err)
	}
	e, err := os.ReadFile(answers + ".errors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return append(append(a, "\n--\n"...), e...)
}

// Ctrl-C lets the calls under way finish, says how far it came, and costs no call twice.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	const jobs = 1_000
	dir := t.TempDir()
	p := simulate(t, "latency=200ms")
	file := prompts(t, dir, "stop", jobs, plain)
	c := start(t, dir, runArgs(file, p)...)
	c.while("answers", func() bool { return p.stats().Answered > jobs/4 })
	asked := time.Now()
	c.interrupt()
	c.must(exitError)
	s := p.stats()
	said := numberIn(t, c.stderr.String(), `interrupted: (\d+) of 1000 jobs have ended`)
	t.Logf("left after %v with %d of %d ended", time.Since(asked), said, jobs)
	if said != s.Answered || s.Answered == jobs || s.Calls != s.Answered {
		t.Errorf("said %d: %+v", said, s)
	}
	start(t, dir, runArgs(file, p)...).must(exitOK)
	whole(t, answersOf(file), jobs)
	if s := p.stats(); s.Calls != jobs {
		t.Errorf("%d calls of %d jobs", s.Calls, jobs)
	}
	emptyQueues(t, dir)
}

// A second Ctrl-C does not wait for the calls under way.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	const jobs = 10
	dir := t.TempDir()
	p := simulate(t, "")
	file := prompts(t, dir, "now", jobs, func(int) string { return "[[sim:okx1,latency=10m]]" })
	c := start(t, dir, runArgs(file, p, "--grace", "10m", "--timeout", "10m")...)
	c.while("calls", func() bool { return p.stats().InFlight == jobs })
	c.interrupt()
	c.while("the word", func() bool { return strings.Contains(c.stderr.String(), "interrupt again to leave now") })
	c.interrupt()
	if code := c.code(); code == exitOK {
		t.Errorf("exit code %d", code)
	}
	start(t, dir, runArgs(file, p)...).must(exitOK)
	whole(t, answersOf(file), jobs)
}
