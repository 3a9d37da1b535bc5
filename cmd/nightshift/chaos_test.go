package main

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Whatever is killed with kill -9, and however often: every prompt ends exactly once, and no
// call is made twice but those that were under way.

// flight is how many calls a run may have under way, inHand how many jobs in all: an answer
// that was not stored when its worker was killed is paid for again (consumer, queue.room).
const (
	flight = 64
	inHand = 2*flight + 256
)

func (n night) args(p *provider) []string {
	return []string{
		"run", n.file, "-o", n.answers(), "--store", "store", "--sync", n.sync,
		"--base-url", p.base, "--max-in-flight", strconv.Itoa(flight),
	}
}

// night is a file to be drained, killed again and again.
type night struct {
	dir, file, sync      string
	prompts              int
	submit, drain, write int // kills while submitting, draining, writing the outputs
}

func (n night) answers() string { return filepath.Join(n.dir, "answers.jsonl") }
func (n night) kills() int      { return n.submit + n.drain + n.write }

func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	for _, n := range []night{
		{sync: "always", prompts: 20_000, submit: 4, drain: 12, write: 4},
		{sync: "1s", prompts: 2_000, submit: 1, drain: 3, write: 1},
	} {
		if testing.Short() {
			n.prompts, n.submit, n.drain, n.write = 2_000, 1, 3, 1
		}
		t.Run("sync "+n.sync, func(t *testing.T) {
			t.Parallel()
			n.dir = t.TempDir()
			n.survive(t)
		})
	}
}

func (n night) survive(t *testing.T) {
	t.Helper()
	p := simulate(t, "latency=30ms,sigma=0.3")
	n.file = prompts(t, n.dir, "night", n.prompts, func(i int) string {
		if i%101 == 0 {
			return "[[sim:400]]"
		}
		return plain(i)
	})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	flown := n.killWhileSubmitting(t, p, dice)
	flown += n.killWhileDraining(t, p, dice)
	n.killWhileWriting(t, p, dice)
	last := start(t, n.dir, n.args(p)...)
	last.must(exitDead)
	n.check(t, p, last, flown)
}

// killWhileSubmitting kills when part of the jobs is on the queue.
func (n night) killWhileSubmitting(t *testing.T, p *provider, dice *rand.Rand) (flown int) {
	t.Helper()
	blocks := filepath.Join(n.dir, "store", "jetstream", "$G", "streams", "JOBS", "msgs", "*.blk")
	for i := range n.submit {
		share := (float64(i) + dice.Float64()) / float64(n.submit)
		size := int64(share * float64(sizeOf(n.file)))
		c := start(t, n.dir, n.args(p)...)
		c.while("jobs", func() bool {
			return sizeOf(blocks) > size || p.stats().DistinctIDs > n.prompts/4
		})
		t.Logf("%d bytes of jobs submitted", sizeOf(blocks))
		flown += n.killOne(t, p, c)
	}
	return flown
}

// killWhileDraining kills at points of progress, so that a slow machine is killed as evenly as
// a fast one.
func (n night) killWhileDraining(t *testing.T, p *provider, dice *rand.Rand) (flown int) {
	t.Helper()
	from := p.stats().DistinctIDs
	for i := range n.drain {
		step := (n.prompts - from) / (n.drain + 1)
		at := from + step*i + dice.IntN(step)
		c := start(t, n.dir, n.args(p)...)
		if !c.while("progress", func() bool { return p.stats().DistinctIDs > at }) {
			t.Fatalf("it ended at %d of %d:\n%.4000s", p.stats().DistinctIDs, n.prompts, c.stderr)
		}
		time.Sleep(time.Duration(dice.IntN(60)) * time.Millisecond)
		flown += n.killOne(t, p, c)
	}
	return flown
}

// killOne returns how many calls may have to be made again.
func (n night) killOne(t *testing.T, p *provider, c *child) int {
	t.Helper()
	if c.ended() {
		t.Fatalf("it ended by itself:\n%.4000s", c.stderr)
	}
	s := p.stats()
	c.kill()
	t.Logf("killed after %.1fs: %d ids called, %d calls under way", s.Seconds, s.DistinctIDs, s.InFlight)
	return inHand
}

// killWhileWriting kills when part of the answers is on disk.
func (n night) killWhileWriting(t *testing.T, p *provider, dice *rand.Rand) {
	t.Helper()
	part := filepath.Join(n.dir, ".answers.jsonl.part")
	for killed := 0; killed < n.write; {
		size := int64(1 + dice.IntN(n.prompts*300)) // of some 500 bytes a line
		c := start(t, n.dir, n.args(p)...)
		if c.while("outputs", func() bool { return sizeOf(part) >= size }) && !c.ended() {
			c.kill()
			killed++
			t.Logf("killed: %d bytes of answers written", sizeOf(part))
		}
	}
}

func (n night) check(t *testing.T, p *provider, last *child, flown int) {
	t.Helper()
	good, bad := whole(t, n.answers(), n.prompts)
	again, extra := p.more()
	s, told := p.stats(), madeTwice(t, last)
	t.Logf("%d kills: %d answers, %d dead %v, %d calls of %d ids, %d ids called again (%d calls), "+
		"%d after an answer that was not stored, summary says %d", n.kills(), len(good), len(bad), classes(bad),
		s.Calls, s.DistinctIDs, len(again), extra, s.Doubled, told)
	if want := n.prompts / 101; len(bad) != want || s.DistinctIDs != n.prompts {
		t.Errorf("%d dead, want %d; %d ids called of %d", len(bad), want, s.DistinctIDs, n.prompts)
	}
	if extra > flown {
		t.Errorf("%d calls made twice, at most %d jobs were in hand at a kill", extra, flown)
	}
	if told < extra {
		t.Errorf("the summary says %d calls were made twice: it were %d", told, extra)
	}
	lastCallStored(t, again, append(good, bad...))
	emptyQueues(t, n.dir)
}

// lastCallStored wants the stored ending of each id to come from its last call: there was no
// call after one was stored.
func lastCallStored(t *testing.T, again map[string]int, lines []line) {
	t.Helper()
	stored := map[string]string{}
	for _, l := range lines {
		if l.Response != nil {
			stored[l.CustomID] = l.Response.RequestID
		}
	}
	for id, n := range again {
		_, customID, _ := cutLast(id, "/")
		if want := requestID(t, id, n); stored[customID] != want {
			t.Errorf("%s was called %d times, what is stored is not of the last call", id, n)
		}
	}
}
