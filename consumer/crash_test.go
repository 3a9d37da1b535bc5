package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/policy"
)

// soon is far below the lease of 30 s that a job of a dead worker would have to wait for.
const soon = 5 * time.Second

func (w *world) takeOver(t *testing.T) {
	t.Helper()
	check(t, w.store.TakeOver(t.Context(), func(consumer.Worker) bool { return false }))
}

// open makes the consumer of the queue and works nothing.
func (w *world) open(t *testing.T, edit ...func(*consumer.Config)) {
	t.Helper()
	config := w.config(t)
	for _, e := range edit {
		e(&config)
	}
	_, err := consumer.New(t.Context(), w.js, config)
	check(t, err)
}

func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v", what, took)
	}
}

// connect gives a connection of its own, as of another process.
func (w *world) connect(t *testing.T) *nats.Conn {
	t.Helper()
	b, err := broker.Attach(context.WithoutCancel(t.Context()), w.broker.Dir())
	check(t, err)
	t.Cleanup(func() { check(t, b.Close()) })
	return b.Conn()
}

// The process dies in the middle of its calls; its successor has the jobs at once.
func TestSuccessorTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hangs=1")
	const n = 5
	w.putMany(t, "b", n, "x")
	nc := w.connect(t)
	first := w.startOn(t, stream(t, nc), func(c *consumer.Config) { c.Grace = time.Millisecond })
	eventually(t, "the calls", func() bool { return w.Stats().InFlight == n })
	nc.Close()
	if err := first.wait(t); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Run: %v", err)
	}
	w.Set(healthy())
	within(t, soon, "the second", func() {
		w.takeOver(t)
		w.start(t)
		w.ended(t, "b", n)
	})
	for e, err := range w.store.Endings(t.Context(), "b") {
		check(t, err)
		if e.Meta.Again != 1 || e.Meta.Calls != 1 {
			t.Errorf("meta %+v", e.Meta)
		}
	}
}

// The answer is stored and the worker died before the ack: nobody calls again, be it delivered
// before or not.
func TestLostAcksAreNotCalledAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.open(t)
	w.putMany(t, "b", 4, "x")
	w.steal(t)
	w.steal(t)
	for _, key := range []string{"job-0", "job-2"} { // one was delivered, one was not
		w.end(t, "b", key, "answer", `{"call":"another"}`, "{}")
	}
	within(t, soon, "the successor", func() {
		w.takeOver(t)
		w.start(t)
		w.drained(t)
	})
	if got := w.counts(t, "b"); got.Answered != 4 || w.Stats().Calls != 2 {
		t.Errorf("%d calls, counts %+v", w.Stats().Calls, got)
	}
}

// Each broker-owning process dies with the job in hand.
func TestCrashLoopOverTakeOvers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	edit := func(c *consumer.Config) { c.CrashLimit = 2 }
	w.open(t, edit)
	w.put(t, "b", line("j", "x"))
	for range 3 {
		w.steal(t)
		w.takeOver(t)
		w.open(t, edit)
	}
	w.steal(t)
	w.takeOver(t)
	history(t, w, "b", "j", policy.History{Calls: 2, Alone: 1})
	w.start(t, edit)
	l := w.letter(t, "b", "j")
	if l.Class != policy.CrashLoop || l.Owner != "operator" || l.Crashes != 4 || w.Stats().Calls != 0 {
		t.Errorf("%d calls, letter %+v", w.Stats().Calls, l)
	}
	w.drained(t)
}

// Workers of a shared broker die with the job in hand, each in its lease.
func TestCrashLoopOverLeases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	edit := func(c *consumer.Config) { c.AckWait, c.CrashLimit = 300*time.Millisecond, 2 }
	w.open(t, edit)
	w.put(t, "b", line("j", "x"))
	w.put(t, "b", line("other", "x"))
	for range 4 {
		w.steal(t)
	}
	history(t, w, "b", "j", policy.History{Alone: 1})
	w.start(t, edit)
	if l := w.letter(t, "b", "j"); l.Class != policy.CrashLoop || l.Crashes < 2 {
		t.Errorf("letter %+v", l)
	}
	if e := w.ending(t, "b", "other"); e.Dead {
		t.Errorf("ending %+v", e)
	}
	w.drained(t)
}

// A job that waits for its time is no crash, however often the process is started meanwhile.
func TestRestartsDuringAWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("j", "[[sim:429x1,retry_after=3600]]"))
	edit := func(c *consumer.Config) { c.CrashLimit = 1 }
	first := w.start(t, edit)
	eventually(t, "the wait", func() bool { return first.Stats().Later == 1 })
	first.stop()
	check(t, first.wait(t))
	fleet, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	for range 3 {
		check(t, fleet.Purge(t.Context(), "gate.acme")) // the job is delivered and comes too early
		w.takeOver(t)
		run := w.start(t, edit)
		eventually(t, "it comes early", func() bool { return run.Stats().Later == 1 })
		run.stop()
		check(t, run.wait(t))
	}
	if s := w.Stats(); s.Calls != 1 {
		t.Errorf("stats %+v", s)
	}
	h, err := w.store.History(t.Context(), "b", "j")
	check(t, err)
	h.Until = time.Now() // the hour is over
	history(t, w, "b", "j", h)
	check(t, fleet.Purge(t.Context(), "gate.acme"))
	w.takeOver(t)
	w.start(t, edit)
	e := w.ending(t, "b", "j")
	if e.Dead || e.Meta.Calls != 2 || e.Meta.Waits != 1 {
		t.Errorf("ending %+v", e)
	}
}
