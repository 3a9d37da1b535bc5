package policy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

// The parts of all workers add up to the limit, each has at least one, and none grows when a
// worker comes.
func TestShareAddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit, n := rapid.IntRange(1, 300).Draw(t, "limit"), rapid.IntRange(1, 40).Draw(t, "n")
		sum := 0
		for rank := range n {
			g := policy.NewGuard(policy.GuardConfig{MaxInFlight: limit})
			g.Share(rank, n)
			part := g.State().Ceiling
			sum += part
			for _, newcomer := range []int{rank, n} { // before it, or behind
				next := policy.NewGuard(policy.GuardConfig{MaxInFlight: limit})
				moved := rank
				if newcomer <= rank {
					moved++
				}
				next.Share(moved, n+1)
				if got := next.State().Ceiling; got > part {
					t.Fatalf("rank %d of %d has %d, then %d", rank, n, part, got)
				}
			}
		}
		if sum != max(limit, n) {
			t.Fatalf("%d workers have %d of %d", n, sum, limit)
		}
	})
}

// A smaller part counts from then on, and the larger one as soon as it is back.
func TestShareShrinksAndGrows(t *testing.T) {
	t.Parallel()
	g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 8, Start: 8})
	if n := g.TryTake(100); n != 8 {
		t.Fatal(n)
	}
	g.Share(0, 4)
	if g.Keeps() {
		t.Error("8 calls are within a part of 2")
	}
	g.Give(6)
	if !g.Keeps() || g.TryTake(1) != 0 {
		t.Errorf("%+v", g.State())
	}
	g.Give(2)
	g.Share(0, 1)
	if s := g.State(); s.Ceiling != 8 || s.Workers != 1 {
		t.Errorf("%+v", s)
	}
}

// Four workers that begin at once keep to the pace of one, from the first minute on.
func TestShareOfThePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers, perMinute = 4, 60
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		calls := make([]int, workers)
		done := make(chan struct{})
		for i := range workers {
			g := policy.NewGuard(policy.GuardConfig{RequestsPerMinute: perMinute})
			g.Share(i, workers)
			go func() {
				defer func() { done <- struct{}{} }()
				for {
					if _, err := g.Take(ctx, 1); err != nil {
						return
					}
					if r := g.Do(ctx, "job", 1, (&script{}).ask); r.Fault == nil && !r.Cancelled {
						calls[i]++
					}
				}
			}()
		}
		for range workers {
			<-done
		}
		sum := 0
		for i, n := range calls {
			if sum += n; n < perMinute/workers-2 {
				t.Errorf("worker %d made %d calls", i, n)
			}
		}
		if sum > perMinute {
			t.Errorf("%d calls in a minute, %d are allowed", sum, perMinute)
		}
	})
}

// What is owed at one rate is owed at another too.
func TestShareKeepsTheDebt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{RequestsPerMinute: 60})
		do(t, g, "first", 1, answer())
		g.Share(0, 10)
		if wait := took(t, g); wait < 8*time.Second || wait > 12*time.Second {
			t.Errorf("the next call came after %v", wait)
		}
	})
}

func TestStateTellsThePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{RequestsPerMinute: 600, TokensPerMinute: 1000})
		g.Share(1, 2)
		time.Sleep(time.Minute) // a part is used up at first
		do(t, g, "refused", 1, status(529))
		time.Sleep(time.Minute)
		do(t, g, "answered", 1, answer())
		s := g.State()
		if s.Requests.From != "configured" || s.Requests.PerMinute < 290 || s.Requests.PerMinute > 300 ||
			s.Tokens.From != "configured" || s.Workers != 2 || s.Calls != 2 || s.Refused != 1 || s.Ceiling != 32 {
			t.Errorf("%+v", s)
		}
		free := policy.NewGuard(policy.GuardConfig{})
		do(t, free, "answered", 1, answer())
		do(t, free, "limited", 1, status(429))
		if s := free.State(); s.Requests.From != "learned" || s.Gate.IsZero() {
			t.Errorf("%+v", s)
		}
		free.Open()
		if s := free.State(); !s.Gate.IsZero() || s.Reason == "rate limit" {
			t.Errorf("%+v", s)
		}
	})
}

func TestRecentCallsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{})
		do(t, g, "refused", 1, status(529))
		time.Sleep(3 * time.Minute)
		do(t, g, "answered", 1, answer())
		if s := g.State(); s.Calls != 2 || s.Refused != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(3 * time.Minute)
		if s := g.State(); s.Calls != 1 || s.Refused != 0 {
			t.Errorf("%+v", s)
		}
	})
}
