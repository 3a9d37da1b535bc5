package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

const kept = 30 // jobs in the queue of a held provider

func few(c *consumer.Config) { c.Accounts[0].Guard.Start, c.Accounts[0].Guard.MaxInFlight = 4, 4 }

func probing(c *consumer.Config) {
	few(c)
	c.Accounts[0].Guard.ProbeEvery = 300 * time.Millisecond
}

// hold waits until the provider is held.
func (w *world) hold(t *testing.T) (h policy.Hold) {
	t.Helper()
	eventually(t, "a hold", func() bool {
		all, err := w.store.Holds(t.Context())
		check(t, err)
		if len(all) == 1 {
			h = all[0]
		}
		return len(all) == 1
	})
	return h
}

func (w *world) healed(t *testing.T) {
	t.Helper()
	eventually(t, "no hold", func() bool {
		all, err := w.store.Holds(t.Context())
		check(t, err)
		return len(all) == 0
	})
}

// An account problem keeps the queue, stops the calls and says who must do what.
func TestAccountFaultHolds(t *testing.T) {
	t.Parallel()
	for fault, class := range map[string]policy.Class{
		"insufficient_quota": policy.Quota, "invalid_api_key": policy.Auth, "billing": policy.Billing,
		"permission": policy.Permission, "model_not_found": policy.NotFound, "suspended": policy.Billing,
		"credit_balance": policy.Billing,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "fault="+fault)
			w.putMany(t, "b", kept, "x")
			run := w.start(t, few)
			h := w.hold(t)
			if h.Class != class || h.Owner != class.Owner() || h.Remedy != class.Remedy() || h.Words == "" ||
				h.Status == 0 || h.Provider != "acme" || !h.Probe.After(time.Now()) {
				t.Errorf("hold %+v", h)
			}
			eventually(t, "nobody calls", func() bool { return run.Stats().Providers["acme"].InFlight == 0 })
			if s := w.Stats(); s.Calls > 8 {
				t.Errorf("%d calls", s.Calls)
			}
			w.Set(healthy())
			check(t, w.store.Release(t.Context(), "acme"))
			w.ended(t, "b", kept-8) // the jobs that were called wait for their time
			left := w.jobs(t)
			if got := w.counts(t, "b"); got.Dead != 0 || got.Answered+left < kept {
				t.Errorf("counts %+v, %d jobs", got, left)
			}
			if err := w.store.Release(t.Context(), "acme"); err == nil {
				t.Error("released twice")
			}
		})
	}
}

func TestProbeEndsTheHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "fault=invalid_api_key")
	w.putMany(t, "b", kept, "x")
	w.start(t, probing)
	w.start(t, probing)
	var h policy.Hold
	eventually(t, "probes", func() bool { h = w.hold(t); return h.Probes >= 2 })
	if n := w.Stats().Calls; n > 8+h.Probes+1 {
		t.Errorf("%d calls for %d probes", n, h.Probes)
	}
	w.Set(healthy())
	w.healed(t)
	w.ended(t, "b", kept-8-h.Probes-2)
	if got := w.counts(t, "b"); got.Dead != 0 {
		t.Errorf("counts %+v", got)
	}
}

// A hold that was there before the worker is obeyed from the first moment.
func TestHoldOutlivesTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "fault=invalid_api_key")
	w.putMany(t, "b", 200, "x")
	first := w.start(t)
	w.hold(t)
	first.stop()
	check(t, first.wait(t))
	w.ResetStats()
	second := w.start(t)
	eventually(t, "it knows", func() bool { return second.Stats().Providers["acme"].Hold != nil })
	eventually(t, "it beats", func() bool {
		all, err := w.store.Workers(t.Context())
		check(t, err)
		return len(all) == 1 && all[0].Providers["acme"].Hold != nil
	})
	if n := w.Stats().Calls; n > 3 {
		t.Errorf("%d calls", n)
	}
}

// Answers of another provider say nothing about the one that is held.
func TestProbeIsNotFooledByOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "fault=invalid_api_key")
	well := newWorld(t, "")
	w.putMany(t, "b", kept, "x")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.start(t, probing, func(c *consumer.Config) {
		other := well.config(t).Accounts[0]
		other.Name = "well"
		c.Accounts = append(c.Accounts, other)
		c.Queues = append(c.Queues, consumer.Queue{Name: "well", Account: "well"})
	})
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = w.prod.Publish(ctx, "well", "", []byte(line(fmt.Sprintf("well-%d", i), "x")))
		}
	}()
	since := w.hold(t).Since
	var h policy.Hold
	eventually(t, "probes", func() bool { h = w.hold(t); return h.Probes >= 3 })
	if !h.Since.Equal(since) {
		t.Errorf("held since %v, then since %v", since, h.Since)
	}
	if n := w.Stats().Calls; n > 4+h.Probes+1 {
		t.Errorf("%d calls for %d probes", n, h.Probes)
	}
}

// A 404 among successes is the job's own, and one call is enough to know.
func TestMissingModelOfOneJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.putMany(t, "b", 5, "x")
	w.start(t)
	w.ended(t, "b", 5)
	w.put(t, "b", line("j", "[[sim:model_not_found]]"))
	if l := w.letter(t, "b", "j"); l.Class != policy.NotFound || w.calls("b", "j") != 1 {
		t.Errorf("%d calls, letter %+v", w.calls("b", "j"), l)
	}
	if all, err := w.store.Holds(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("holds %+v, %v", all, err)
	}
}

// Many dead letters in a row are a broken template: the provider is held before all are dead.
func TestFloodHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "bad=1")
	w.putMany(t, "b", 200, "x")
	w.start(t, few, func(c *consumer.Config) { c.Accounts[0].Guard.Health.Flood = 20 })
	h := w.hold(t)
	if h.Class != policy.BadRequest {
		t.Errorf("hold %+v", h)
	}
	if got := w.ended(t, "b", 19); got.Dead > 24 {
		t.Errorf("counts %+v", got)
	}
}
