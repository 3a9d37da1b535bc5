package consumer_test

import (
	"errors"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// What is paused is not called; what is not goes on beside it, on the same queue.
func TestPause(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]consumer.Pause{
		"batch":    {Scope: consumer.PauseBatch, Name: "a"},
		"queue":    {Scope: consumer.PauseQueue, Name: "slow"},
		"provider": {Scope: consumer.PauseProvider, Name: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			check(t, w.store.Pause(t.Context(), p))
			w.putOn(t, "slow", "a", 50, "x")
			w.putMany(t, "b", 50, "x")
			w.start(t, func(c *consumer.Config) {
				c.Accounts = append(c.Accounts, c.Accounts[0])
				c.Accounts[1].Name = "other"
				c.Queues = append(c.Queues, consumer.Queue{Name: "slow", Account: "other"})
			})
			w.ended(t, "b", 50)
			if got := w.counts(t, "a"); got.Ended() != 0 || w.Stats().Calls != 50 {
				t.Errorf("%d calls, %+v", w.Stats().Calls, got)
			}
			check(t, w.store.Unpause(t.Context(), p.Scope, p.Name))
			w.ended(t, "a", 50)
			if err := w.store.Unpause(t.Context(), p.Scope, p.Name); !errors.Is(err, consumer.ErrNotPaused) {
				t.Errorf("lifted twice: %v", err)
			}
		})
	}
}

// A running batch stops within a second, and keeps what it has in flight.
func TestPauseStopsARunningBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=100ms")
	w.start(t)
	w.putMany(t, "b", 1000, "x")
	w.ended(t, "b", 20)
	check(t, w.store.Pause(t.Context(), consumer.Pause{Scope: consumer.PauseBatch, Name: "b", Reason: consumer.ReasonOperator}))
	eventually(t, "no call in flight", func() bool {
		before := w.Stats().Calls
		time.Sleep(500 * time.Millisecond) // none may begin in it
		return w.Stats().Calls == before && w.Stats().InFlight == 0
	})
	if got := w.counts(t, "b"); got.Dead != 0 || got.Answered == 1000 {
		t.Fatalf("%+v", got)
	}
	all, err := w.store.Pauses(t.Context())
	check(t, err)
	if len(all) != 1 || all[0].Name != "b" || all[0].Reason != consumer.ReasonOperator || all[0].Since.IsZero() {
		t.Errorf("pauses %+v", all)
	}
	check(t, w.store.Unpause(t.Context(), consumer.PauseBatch, "b"))
	w.ended(t, "b", 1000)
	if w.Stats().Calls != 1000 {
		t.Errorf("%d calls for 1000 jobs", w.Stats().Calls)
	}
}

// A pause with an end needs nobody to lift it.
func TestPauseEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	until := time.Now().Add(time.Second)
	check(t, w.store.Pause(t.Context(), consumer.Pause{Scope: consumer.PauseBatch, Name: "b", Until: until}))
	w.putMany(t, "b", 5, "x")
	w.start(t)
	w.ended(t, "b", 5)
	if now := time.Now(); now.Before(until) {
		t.Errorf("ended %v before the pause did", until.Sub(now))
	}
}

// A small batch does not wait behind a large one of the same queue: each gets its share.
func TestBatchesShareAQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=20ms")
	w.start(t, func(c *consumer.Config) { c.Accounts[0].Guard.MaxInFlight = 8 })
	w.putMany(t, "a", 1000, "x")
	w.ended(t, "a", 50)
	before := w.counts(t, "a").Ended()
	w.putMany(t, "b", 100, "x")
	w.ended(t, "b", 100)
	if between := w.counts(t, "a").Ended() - before; between > 600 {
		t.Errorf("%d jobs of the large batch ended before the 100 of the small one", between)
	}
	w.ended(t, "a", 1000)
}

func sharing(priority, weight int) func(*consumer.Config) {
	return func(c *consumer.Config) {
		c.Accounts[0].Guard.MaxInFlight = 8
		c.Queues = append(c.Queues, consumer.Queue{Name: "second", Account: c.Queues[0].Account, Priority: priority, Weight: weight})
	}
}

func TestQueuesShareByWeight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=20ms")
	w.putMany(t, "a", 1000, "x")
	w.putOn(t, "second", "c", 1000, "x")
	w.putOn(t, "second", "d", 1000, "x") // two batches of a queue have no more than one
	w.start(t, sharing(0, 3))
	w.ended(t, "a", 200)
	if got := w.counts(t, "c").Ended() + w.counts(t, "d").Ended(); got < 300 || got > 900 {
		t.Errorf("a queue of weight 3 got %d jobs while one of weight 1 got 200", got)
	}
}

func TestPriorityGoesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=20ms")
	w.start(t, sharing(1, 0))
	w.putMany(t, "a", 1500, "x")
	w.ended(t, "a", 50)
	before := w.counts(t, "a").Ended()
	w.putOn(t, "second", "urgent", 300, "x")
	w.ended(t, "urgent", 300)
	if between := w.counts(t, "a").Ended() - before; between > 150 {
		t.Errorf("%d jobs of the other queue ended before the 300 urgent ones", between)
	}
}

// Outside its hours a queue is left alone, however many jobs it has.
func TestHoursOfAQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	shut, open := hours(t, 2*time.Hour, 3*time.Hour), hours(t, -time.Hour, time.Hour)
	w.putOn(t, "second", "a", 20, "x")
	w.putMany(t, "b", 20, "x")
	w.start(t, sharing(0, 0), func(c *consumer.Config) { c.Queues[0].Hours, c.Queues[1].Hours = open, shut })
	w.ended(t, "b", 20)
	if got := w.counts(t, "a"); got.Ended() != 0 || w.Stats().Calls != 20 {
		t.Errorf("%d calls, %+v", w.Stats().Calls, got)
	}
}

// hours are those from one time after now to another.
func hours(t *testing.T, from, to time.Duration) policy.Hours {
	t.Helper()
	now := time.Now().UTC()
	h, err := policy.ParseHours(now.Add(from).Format("15:04") + "-" + now.Add(to).Format("15:04") + " UTC")
	check(t, err)
	return h
}
