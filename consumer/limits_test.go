package consumer_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// oneAttempt makes a burnt attempt deadly.
func oneAttempt(c *consumer.Config) { c.Queues[0].Attempts = 1 }

// A storm of 429 costs nobody an attempt, and no worker calls before it was asked to. What is
// said for two seconds must be known to all after one, on however busy a machine.
func TestRateLimitStorm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec          string
		jobs, workers int
	}{
		{"closed=2s", 60, 1},
		{"closed=2s", 60, 2},
		{"rpm=30,burst=4", 6, 1}, // the next place is 2 s away, however slowly the four are taken
		{"capacity=3,latency=20ms", 60, 2},
		{"capacity=3,latency=20ms,overload=503", 60, 1},
	} {
		t.Run(fmt.Sprintf("%s,%d", c.spec, c.workers), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.spec+",grace=1s")
			w.putMany(t, "b", c.jobs, "x")
			for range c.workers {
				w.start(t, oneAttempt, func(c *consumer.Config) { c.Accounts[0].Guard.Start = 4 })
			}
			got := w.ended(t, "b", c.jobs)
			w.drained(t)
			// Where headers tell the limit, nobody runs into it.
			stormy := c.spec != "rpm=30,burst=4"
			if s := w.Stats(); s.Early != 0 || stormy != (s.Refused > 0) || got.Dead != 0 {
				t.Errorf("stats %+v, counts %+v", s, got)
			}
		})
	}
}

// What one worker is told holds for another that never called.
func TestGateIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("told", "[[sim:429x1,retry_after=2]]"))
	teller := w.start(t)
	eventually(t, "the gate", func() bool { return teller.Stats().Providers["acme"].Until.After(time.Now()) })
	late := w.start(t)
	w.putMany(t, "b", 10, "x")
	eventually(t, "the other's gate", func() bool { return late.Stats().Providers["acme"].Reason == "rate limit" })
	if n := w.Stats().Calls; n != 1 {
		t.Errorf("%d calls", n)
	}
	w.ended(t, "b", 11)
	if s := w.Stats(); s.Early != 0 {
		t.Errorf("stats %+v", s)
	}
	if e := w.ending(t, "b", "told"); e.Meta.Waits != 1 || e.Meta.Calls != 2 {
		t.Errorf("ending %+v", e)
	}
}

// A gate that shuts while many idle workers wait for a job: each hands the job on, and that is
// no crash.
func TestIdleWorkersAtAShutGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	var workers []*worker
	for range 6 {
		workers = append(workers, w.start(t, func(c *consumer.Config) { c.CrashLimit = 3 }))
	}
	for i := range 3 { // all look at the queue
		key := fmt.Sprintf("warm-%d", i)
		w.put(t, "b", line(key, "x"))
		w.ending(t, "b", key)
	}
	fleet, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	gate, err := json.Marshal(time.Now().Add(1500 * time.Millisecond))
	check(t, err)
	_, err = fleet.Put(t.Context(), "gate.acme", gate)
	check(t, err)
	eventually(t, "gates", func() bool {
		for _, r := range workers {
			if r.Stats().Providers["acme"].Reason != "rate limit" {
				return false
			}
		}
		return true
	})
	w.put(t, "b", line("j", "x"))
	if e := w.ending(t, "b", "j"); e.Dead || e.Meta.Again != 0 || e.Meta.Calls != 1 {
		t.Errorf("ending %+v", e)
	}
}

// An outage is nobody's fault: the breaker opens, jobs wait, and no attempt counts while it is
// open.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "outage=0s-1h,outage_status=500,latency=5ms")
	const n = 100
	w.putMany(t, "b", n, "x")
	run := w.start(t)
	eventually(t, "the breaker opens", func() bool { return run.Stats().Providers["acme"].Breaker != "closed" })
	w.Set(healthy())
	got := w.ended(t, "b", n)
	if got.Dead != 0 {
		t.Errorf("counts %+v", got)
	}
	w.drained(t)
	if s := run.Stats(); s.Providers["acme"].InFlight != 0 && s.Providers["acme"].Reason != "" {
		t.Errorf("stats %+v", s)
	}
}

// No slot is lost on any way a job can take.
func TestSlotsComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	scripts := []string{
		"x", "[[sim:500x1]]", "[[sim:resetx1]]", "[[sim:400]]", "[[sim:429x1,retry_after=1]]", "[[sim:status=503,times=1]]",
	}
	for i := range 24 {
		w.put(t, "b", line(fmt.Sprintf("job-%d", i), scripts[i%len(scripts)]))
		w.put(t, "b", "garbage")
		w.end(t, "e", fmt.Sprintf("job-%d", i), "answer", `{"call":"another"}`, "{}")
		w.put(t, "e", line(fmt.Sprintf("job-%d", i), "x"), "Nightshift-Look", "1")
	}
	run := w.start(t)
	w.drained(t)
	// An idle puller holds slots for the 300 ms of a look.
	eventually(t, "all slots are back", func() bool { return run.Stats().Providers["acme"].InFlight == 0 })
	want := map[policy.Class]int{policy.Malformed: 24, policy.BadRequest: 4}
	if got := w.counts(t, "b"); got.Answered != 20 || got.ByClass[policy.Malformed] != want[policy.Malformed] ||
		got.ByClass[policy.BadRequest] != want[policy.BadRequest] {
		t.Errorf("counts %+v", got)
	}
}
