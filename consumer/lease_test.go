package consumer_test

import (
	"testing"
	"time"

	"nightshift/consumer"
)

// The heartbeat keeps a job ours for as long as its call takes.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=4s")
	w.putMany(t, "b", 10, "x")
	short := func(c *consumer.Config) { c.AckWait = 1200 * time.Millisecond }
	w.start(t, short)
	w.start(t, short)
	w.ended(t, "b", 10)
	w.drained(t)
	if s := w.Stats(); s.Calls != 10 {
		t.Errorf("stats %+v", s)
	}
}

// A worker that cannot show that it lives gives the call up: another has the job.
func TestLostLeaseEndsTheCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hangs=1")
	nc := w.connect(t)
	w.startOn(t, stream(t, nc), func(c *consumer.Config) {
		c.AckWait, c.Grace = 600*time.Millisecond, time.Hour
		c.Accounts[0].Guard.Timeout = time.Hour
	})
	w.put(t, "b", line("j", "x"))
	eventually(t, "the call", func() bool { return w.Stats().InFlight == 1 })
	nc.Close()
	within(t, soon, "the end of the call", func() {
		eventually(t, "it ends", func() bool { return w.Stats().InFlight == 0 })
	})
}

// Nor does it hand back what is not its own any more, or count it against the job.
func TestLostLeaseIsNoEnding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=2s")
	nc := w.connect(t)
	short := func(c *consumer.Config) { c.AckWait, c.Grace = 600*time.Millisecond, time.Hour }
	w.startOn(t, stream(t, nc), short)
	w.put(t, "b", line("j", "x"))
	eventually(t, "the call", func() bool { return w.Stats().InFlight == 1 })
	nc.Close()
	w.start(t, short)
	if e := w.ending(t, "b", "j"); e.Dead || e.Meta.Again != 1 || w.calls("b", "j") != 2 {
		t.Errorf("ending %+v after %d calls", e, w.calls("b", "j"))
	}
	w.drained(t)
}
