package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// owner keeps a broker alive on a store and works a queue that nobody uses.
func owner(t *testing.T, dir string, p *provider) *child {
	t.Helper()
	c := start(t, dir, "work", "--queue", "other", "--store", "store", "--base-url", p.base)
	c.while("the broker", func() bool { return brokerOf(t, filepath.Join(dir, "store"), c) != "" })
	return c
}

func worker(t *testing.T, dir string, p *provider, more ...string) *child {
	t.Helper()
	args := []string{"work", "--queue", "q", "--store", "store", "--base-url", p.base}
	return start(t, dir, append(args, more...)...)
}

// submit puts a file on the queue q and returns its batch.
func submit(t *testing.T, dir, file string) string {
	t.Helper()
	c := start(t, dir, "submit", file, "--queue", "q", "--store", "store")
	c.must(exitOK)
	return strings.TrimSpace(c.stdout.String())
}

// results wants every job of a batch answered once.
func results(t *testing.T, dir, batch string, n int) {
	t.Helper()
	out := filepath.Join(dir, batch+".answers")
	start(t, dir, "results", batch, "-o", out, "--store", "store").must(exitOK)
	seen := map[string]int{}
	for _, l := range linesOf(t, out) {
		seen[l.CustomID]++
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s stands there %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d answers of %d jobs", len(seen), n)
	}
}

// Two workers on one queue never call a job twice between them.
func TestTwoWorkers(t *testing.T) {
	t.Parallel()
	const jobs = 2_000
	dir := t.TempDir()
	p := simulate(t, "latency=20ms,sigma=0.5")
	owner(t, dir, p)
	batch := submit(t, dir, prompts(t, dir, "two", jobs, plain))
	a, b := worker(t, dir, p, "--drain"), worker(t, dir, p, "--drain")
	a.must(exitOK)
	b.must(exitOK)
	results(t, dir, batch, jobs)
	if s := p.stats(); s.Calls != jobs {
		t.Errorf("%d calls of %d jobs", s.Calls, jobs)
	}
}

// A worker that is killed, and not its broker, loses nothing: another has its jobs after their
// lease of 30 s.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a lease of 30s")
	}
	const jobs = 1_000
	dir := t.TempDir()
	p := simulate(t, "latency=100ms,sigma=0.5")
	owner(t, dir, p)
	batch := submit(t, dir, prompts(t, dir, "kill", jobs, plain))
	a, b := worker(t, dir, p), worker(t, dir, p, "--drain")
	a.while("answers", func() bool { return p.stats().Answered > jobs/4 })
	s := p.stats()
	a.kill()
	b.must(exitOK)
	results(t, dir, batch, jobs)
	again, extra := p.more()
	t.Logf("%d calls under way at the kill, %d ids called again (%d calls)", s.InFlight, len(again), extra)
	if extra == 0 || extra > inHand || extra != len(again) {
		t.Errorf("%d ids were called again, %d calls; at most %d were in hand", len(again), extra, inHand)
	}
	emptyQueues(t, dir)
}

// twoRuns starts two runs on one store, the second as a guest of the first, and returns when
// both have answers and the first a few calls to go.
func twoRuns(t *testing.T, dir string, p *provider, n, m int) (host, guest *child, files [2]string) {
	t.Helper()
	files[0], files[1] = prompts(t, dir, "host", n, plain), prompts(t, dir, "guest", m, plain)
	host = start(t, dir, runArgs(files[0], p)...)
	host.while("the broker", func() bool { return brokerOf(t, filepath.Join(dir, "store"), host) != "" })
	guest = start(t, dir, runArgs(files[1], p)...)
	return host, guest, files
}

// A run that owns the broker leaves when it is done; the other goes on without a loss.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	const first, second = 500, 3_000
	dir := t.TempDir()
	p := simulate(t, "latency=100ms")
	host, guest, files := twoRuns(t, dir, p, first, second)
	host.must(exitOK)
	if guest.ended() {
		t.Fatalf("the second was done before the first:\n%.4000s", guest.stderr)
	}
	guest.must(exitOK)
	whole(t, answersOf(files[0]), first)
	whole(t, answersOf(files[1]), second)
	if s := p.stats(); s.Calls != first+second {
		ids, _ := p.more()
		t.Errorf("%d calls of %d jobs: %v", s.Calls, first+second, ids)
	}
	emptyQueues(t, dir)
}

// The same when the first is killed: the second takes the broker over, and a rerun of the first
// finds the rest of its jobs.
func TestHostKilled(t *testing.T) {
	t.Parallel()
	const first, second = 1_000, 1_500
	dir := t.TempDir()
	p := simulate(t, "latency=100ms")
	host, guest, files := twoRuns(t, dir, p, first, second)
	host.while("answers of both", func() bool { return p.stats().Answered > first/2 })
	host.kill()
	killed := time.Now()
	guest.must(exitOK)
	t.Logf("the guest was done %v after the kill", time.Since(killed))
	last := start(t, dir, runArgs(files[0], p)...)
	last.must(exitOK)
	whole(t, answersOf(files[0]), first)
	whole(t, answersOf(files[1]), second)
	again, extra := p.more()
	batches := map[string]int{}
	for id := range again {
		batch, _, _ := cutLast(id, "/")
		batches[batch]++
	}
	told := madeTwice(t, last) + madeTwice(t, guest)
	t.Logf("%d calls made twice, by batch %v, %d after an answer that was not stored; summaries say %d of the first, %d of the guest",
		extra, batches, p.stats().Doubled, madeTwice(t, last), madeTwice(t, guest))
	if extra > 2*inHand || told < extra {
		t.Errorf("%d calls were made twice, at most %d jobs were in hand; the summaries say %d", extra, 2*inHand, told)
	}
	emptyQueues(t, dir)
}
