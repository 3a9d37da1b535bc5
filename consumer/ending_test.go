package consumer_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// Three workers, and most jobs published twice under one custom_id.
func TestOneEndingForDuplicates(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		t.Run(strconv.FormatBool(embedded), func(t *testing.T) {
			t.Parallel()
			oneEnding(t, func(c *consumer.Config) { c.Embedded, c.SyncAlways = embedded, embedded })
		})
	}
}

func oneEnding(t *testing.T, edit func(*consumer.Config)) {
	t.Helper()
	w := newWorld(t, "latency=5ms")
	const n = 200
	w.putMany(t, "b", n, "x")
	w.putMany(t, "b", n, "x")
	var workers []*worker
	for range 3 {
		workers = append(workers, w.start(t, edit))
	}
	w.ended(t, "b", n)
	w.drained(t)
	for _, r := range workers {
		r.stop()
		check(t, r.wait(t))
	}
	if diff := cmp.Diff(consumer.Counts{Answered: n, ByClass: map[policy.Class]int{}}, w.counts(t, "b")); diff != "" {
		t.Error(diff)
	}
	var answered, doubled, calls int64
	for _, r := range workers {
		s := r.Stats()
		answered, doubled, calls = answered+s.Answered, doubled+s.Doubled, calls+s.Calls
	}
	if answered != n || answered+doubled != calls {
		t.Errorf("%d answered, %d doubled, %d calls", answered, doubled, calls)
	}
}

// A second worker that shortens the lease of all makes the heartbeats of the first too rare, so
// every job is delivered twice or more while it is called.
func TestOneEndingWhenLeasesRunOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=1500ms")
	const n = 20
	slow := w.start(t, func(c *consumer.Config) { c.AckWait = 30 * time.Second })
	w.putMany(t, "b", n, "x")
	eventually(t, "the first calls", func() bool { return w.Stats().Calls >= 8 })
	quick := w.start(t, func(c *consumer.Config) { c.AckWait = 600 * time.Millisecond })
	w.ended(t, "b", n)
	w.drained(t)
	if got := w.counts(t, "b"); got.Answered != n || got.Dead != 0 {
		t.Errorf("counts %+v", got)
	}
	eventually(t, "the second calls come too late", func() bool { return slow.Stats().Doubled+quick.Stats().Doubled > 0 })
	if a, b := slow.Stats(), quick.Stats(); a.Answered+b.Answered != n {
		t.Errorf("answered %d + %d", a.Answered, b.Answered)
	}
}

// Somebody NAKs and redelivers at random what workers have in hand.
func TestOneEndingWithNakRaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=2ms")
	const n = 300
	// Its NAKs leave no outcome behind and would pass for crashes.
	w.start(t, func(c *consumer.Config) { c.CrashLimit = 1 << 20 })
	c, err := w.js.Consumer(t.Context(), producer.Stream, "work-default=b")
	check(t, err)
	w.putMany(t, "b", n, "x")
	for w.jobs(t) > 0 {
		batch, err := c.Fetch(5, jetstream.FetchMaxWait(20*time.Millisecond))
		check(t, err)
		for m := range batch.Messages() {
			check(t, m.Nak())
		}
	}
	if got := w.counts(t, "b"); got.Answered != n || got.Dead != 0 {
		t.Errorf("counts %+v", got)
	}
}

// The second writer finds an ending that came while it called: it acks and counts.
func TestSecondWriterIsDoubled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=300ms")
	w.put(t, "b", line("j", "x"))
	run := w.start(t)
	eventually(t, "the call", func() bool { return w.Stats().InFlight == 1 })
	w.end(t, "b", "j", "answer", `{"call":"another"}`, "{}")
	w.drained(t)
	eventually(t, "it is counted", func() bool { return run.Stats().Doubled == 1 })
	if s := run.Stats(); s.Answered != 0 || s.InputTokens == 0 {
		t.Errorf("stats %+v", s)
	}
	if e := w.ending(t, "b", "j"); e.Meta.Call != "another" {
		t.Errorf("ending %+v", e)
	}
}

// What was answered before is not called again, whether it is delivered anew or marked by its
// submitter.
func TestEndedJobIsNotCalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for i := range 3 {
		w.end(t, "b", fmt.Sprintf("job-%d", i), "answer", `{"call":"another"}`, "{}")
	}
	for i := range 3 {
		w.put(t, "b", line(fmt.Sprintf("job-%d", i), "x"), producer.HeaderLook, "1")
	}
	w.start(t)
	w.drained(t)
	if n := w.Stats().Calls; n != 0 {
		t.Errorf("%d calls", n)
	}
}

// Many at once, some of which have ended: only those are refused.
func TestCommitsTogetherWithEnded(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		t.Run(strconv.FormatBool(atomic), func(t *testing.T) {
			t.Parallel()
			commitTogether(t, atomic)
		})
	}
}

func commitTogether(t *testing.T, atomic bool) {
	t.Helper()
	w := newWorld(t, "latency=100ms")
	const n, before = 600, 37
	w.putMany(t, "b", n, "x")
	for i := range before {
		w.end(t, "b", fmt.Sprintf("job-%d", i*16), "answer", `{"call":"another"}`, "{}")
	}
	run := w.start(t, func(c *consumer.Config) {
		c.Accounts[0].Guard.MaxInFlight, c.Accounts[0].Guard.Start = 300, 300
		c.SyncAlways = atomic
	})
	w.drained(t)
	eventually(t, "all are counted", func() bool { s := run.Stats(); return s.Answered+s.Doubled == n })
	if s := run.Stats(); s.Doubled != before {
		t.Errorf("%d doubled", s.Doubled)
	}
	if got := w.counts(t, "b"); got.Answered != n {
		t.Errorf("counts %+v", got)
	}
	others := 0
	for e, err := range w.store.Endings(t.Context(), "b") {
		check(t, err)
		if e.Meta.Call == "another" {
			others++
		} else if len(e.Line) == 0 {
			t.Errorf("no line: %+v", e)
		}
	}
	if others != before {
		t.Errorf("%d of others", others)
	}
}
