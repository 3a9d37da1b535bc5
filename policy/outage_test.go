package policy_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// outageAt breaks the provider until its breaker is open.
func outageAt(t *testing.T, g *policy.Guard) {
	t.Helper()
	for i := range 20 {
		if i == 19 && g.State().Breaker != "closed" {
			t.Fatal("open too early")
		}
		r := do(t, g, "a", 1, status(500))
		if want := i == 19; (r.Evidence == policy.OfAccount) != want {
			t.Fatalf("failure %d: %+v", i, r)
		}
	}
	if s := g.State(); s.Breaker != "open" || s.Reason != "outage" {
		t.Fatalf("%+v", s)
	}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{OutageDelay: 10 * time.Second})
		inHand := g.TryTake(1)
		outageAt(t, g)
		refused := &script{}
		r := g.Do(t.Context(), "in hand", 5, refused.ask)
		if refused.calls != 0 || r.Calls != 0 || len(r.Attempts) != 0 || r.Fault == nil || r.Fault.Rule != "breaker open" || inHand != 1 {
			t.Fatalf("%+v", r)
		}
		d := policy.Decide(r.Fault, policy.History{Attempts: r.Attempts}, len(r.Attempts), r.Evidence, policy.Terms{Attempts: 1}, time.Now())
		if d.Outcome != policy.Later || d.Counts || d.Delay < 8*time.Second {
			t.Errorf("turned away is no attempt: %+v", d)
		}
		start := time.Now()
		n, err := g.Take(t.Context(), 512)
		if wait := time.Since(start); n != 3 || err != nil || wait < 8*time.Second || wait > 12*time.Second {
			t.Fatalf("%d slots after %v, %v", n, wait, err)
		}
		if g.TryTake(1) != 0 {
			t.Error("more trials than the breaker lets through")
		}
		g.Give(1) // a slot without a job is no trial
		if g.TryTake(512) != 1 {
			t.Error("the trial is lost")
		}
		for i := range 2 {
			if r := g.Do(t.Context(), "trial", 1, (&script{}).ask); r.Fault != nil {
				t.Fatalf("trial %d: %+v", i, r.Fault)
			}
		}
		if s := g.State(); s.Breaker != "closed" || s.Reason != "" {
			t.Errorf("%+v", s)
		}
		g.Give(1)
		if g.TryTake(512) < 10 {
			t.Error("closed, and not open to all")
		}
	})
}

func TestBreakerStaysOpenInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{OutageDelay: 10 * time.Second})
		outageAt(t, g)
		calls, start := 0, time.Now()
		for time.Since(start) < 5*time.Minute {
			n, err := g.Take(t.Context(), 512)
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				s := &script{replies: []policy.Reply{status(500)}}
				r := g.Do(t.Context(), "a", 1, s.ask)
				calls += s.calls
				if r.Evidence != policy.OfAccount {
					t.Fatalf("a job is blamed for the outage: %+v", r)
				}
			}
		}
		if calls > 100 || calls < 30 { // three every ten seconds
			t.Errorf("%d calls in five minutes of an outage", calls)
		}
		idle(t, g)
	})
}

// A trial that was cut off by its worker proves nothing.
func TestCancelledTrialDoesNotCloseTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{OutageDelay: 10 * time.Second})
		outageAt(t, g)
		n, _ := g.Take(t.Context(), 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range n {
			all.Go(func() { g.Do(ctx, "a", 1, hang) })
		}
		all.Wait()
		if s := g.State(); s.Breaker == "closed" {
			t.Errorf("%+v", s)
		}
		idle(t, g)
	})
}

// Lack of capacity is no outage: the breaker stays closed, and one failing job does not open it.
func TestBreakerCountsOutagesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Health: policy.HealthConfig{Flood: 1000}})
		for range 100 {
			n, _ := g.Take(t.Context(), 1)
			g.Do(t.Context(), "a", 1, (&script{replies: []policy.Reply{status(503)}}).ask)
			g.Give(n - 1)
			do2(t, g, status(400))
			do2(t, g, status(500))
		}
		if s := g.State(); s.Breaker != "closed" {
			t.Errorf("%+v", s)
		}
	})
}

func do2(t *testing.T, g *policy.Guard, r policy.Reply) {
	t.Helper()
	if _, err := g.Take(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	g.Do(t.Context(), "b", 1, (&script{replies: []policy.Reply{r}}).ask)
}

// A provider that carries nothing is called ever more rarely, not as fast as it refuses.
func TestNothingCarriedShutsTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{})
		var calls atomic.Int32
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for ctx.Err() == nil {
			n, _ := g.Take(ctx, 512)
			for range n {
				all.Go(func() {
					r := g.Do(ctx, "a", 5, func(context.Context) policy.Reply {
						calls.Add(1)
						time.Sleep(10 * time.Millisecond)
						return status(503)
					})
					if len(r.Attempts) > 1 {
						t.Errorf("%+v", r)
					}
				})
			}
			synctest.Wait()
		}
		all.Wait()
		if n := calls.Load(); n < 20 || n > 90 {
			t.Errorf("%d calls in two minutes", n)
		}
		if s := g.State(); s.Window != 1 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPaceIsKept(t *testing.T) {
	t.Parallel()
	for _, rpm := range []int{6, 60, 600} {
		synctest.Test(t, func(t *testing.T) {
			g := policy.NewGuard(policy.GuardConfig{RequestsPerMinute: rpm})
			var calls, turnedAway atomic.Int32
			var all sync.WaitGroup
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			for range 3 { // pullers
				all.Go(func() {
					for ctx.Err() == nil {
						n, _ := g.Take(ctx, 512)
						time.Sleep(20 * time.Millisecond) // the fetch
						for range n {
							all.Go(func() {
								r := g.Do(ctx, "a", 5, func(context.Context) policy.Reply {
									calls.Add(1)
									time.Sleep(100 * time.Millisecond)
									return answer()
								})
								if !r.Cancelled && r.Fault != nil {
									turnedAway.Add(1)
								}
							})
						}
					}
				})
			}
			all.Wait()
			if n := int(calls.Load()); n < rpm*10*95/100 || n > rpm*10+rpm/60+1 {
				t.Errorf("%d a minute: %d calls in ten", rpm, n)
			}
			if n := turnedAway.Load(); n > 0 {
				t.Errorf("%d a minute: %d jobs were pulled in vain", rpm, n)
			}
			idle(t, g)
		})
	}
}

// Tries in place are calls like any other: they keep the pace.
func TestTriesInPlaceKeepThePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{RequestsPerMinute: 30})
		g.TryTake(1)
		var at []time.Time
		g.Do(t.Context(), "a", 5, func(context.Context) policy.Reply {
			at = append(at, time.Now())
			return status(500)
		})
		if len(at) != 2 || at[1].Sub(at[0]) < 1900*time.Millisecond {
			t.Errorf("%v", at)
		}
		slow := policy.NewGuard(policy.GuardConfig{RequestsPerMinute: 6})
		if r := do(t, slow, "b", 5, status(500)); r.Calls != 1 || r.Fault.Status != 500 {
			t.Errorf("ten seconds is a wait for the queue: %+v", r)
		}
		idle(t, slow)
	})
}
