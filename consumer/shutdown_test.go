package consumer_test

import (
	"testing"
	"time"

	"nightshift/consumer"
)

// What is called when the shutdown begins is finished and stored; nothing new is called.
func TestShutdownFinishesTheCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=1500ms")
	const n = 40
	w.putMany(t, "b", n, "x")
	run := w.start(t)
	eventually(t, "the calls", func() bool { return w.Stats().InFlight >= 8 })
	run.stop()
	check(t, run.wait(t))

	s := w.Stats()
	if got := w.counts(t, "b"); got.Answered != s.Calls || s.Calls == n {
		t.Errorf("%d calls, counts %+v", s.Calls, got)
	}
	q, err := w.store.QueueState(t.Context(), "default")
	check(t, err)
	if q.Held != 0 || q.Queued != n-s.Calls {
		t.Errorf("queue %+v after %d calls", q, s.Calls)
	}
	if all, err := w.store.Workers(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("workers %+v, %v", all, err)
	}
}

// What does not finish in time is handed back, and another worker has it long before the lease
// is over. However often that happens, it is no crash.
func TestShutdownHandsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hangs=1")
	w.put(t, "b", line("j", "x"))
	edit := func(c *consumer.Config) { c.Grace, c.CrashLimit = 50*time.Millisecond, 2 }
	const rollouts = 3
	for i := range rollouts {
		run := w.start(t, edit)
		eventually(t, "the call", func() bool { return w.calls("b", "j") == i+1 })
		run.stop()
		within(t, soon, "shutdown", func() { check(t, run.wait(t)) })
	}
	w.Set(healthy())
	within(t, soon, "the next", func() {
		w.start(t, edit)
		w.ending(t, "b", "j")
	})
	if e := w.ending(t, "b", "j"); e.Dead || e.Meta.Again != 0 || e.Meta.Calls != rollouts+1 {
		t.Errorf("ending %+v", e)
	}
}

// A probe is a call in flight like any other.
func TestShutdownDuringAProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "fault=invalid_api_key")
	w.putMany(t, "b", kept, "x")
	run := w.start(t, probing, func(c *consumer.Config) {
		c.Grace = 50 * time.Millisecond
		c.Accounts[0].Guard.Timeout = time.Minute
	})
	w.hold(t)
	eventually(t, "nobody calls", func() bool { return w.Stats().InFlight == 0 })
	c := healthy()
	c.Hangs = 1
	w.Set(c)
	// A call that was on its way when the hold began may hang beside it.
	eventually(t, "a probe", func() bool { return w.Stats().InFlight >= 1 })
	run.stop()
	within(t, soon, "shutdown", func() { check(t, run.wait(t)) })
}

// A worker that is told to stop before it began returns.
func TestRunWithEndedContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	run := w.start(t)
	run.stop()
	check(t, run.wait(t))
}
