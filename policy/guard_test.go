package policy_test

import (
	"context"
	"net/textproto"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// Replies, by what they make a guard do.
func answer() policy.Reply { return policy.Reply{Status: 200, Body: []byte(`{"choices":[{}]}`)} }

func status(n int) policy.Reply {
	return policy.Reply{Status: n, Header: textproto.MIMEHeader{}}
}

func retryAfter(n, seconds int) policy.Reply {
	r := status(n)
	r.Header.Set("Retry-After", strconv.Itoa(seconds))
	return r
}

// script replies in order, and with an answer when it has come to its end.
type script struct {
	mu      sync.Mutex
	replies []policy.Reply
	calls   int
}

func (s *script) ask(context.Context) policy.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.replies) == 0 {
		return answer()
	}
	r := s.replies[0]
	s.replies = s.replies[1:]
	return r
}

// do takes a slot, which there must be, and makes one job of the replies.
func do(t *testing.T, g *policy.Guard, job string, allowed int, replies ...policy.Reply) policy.Result {
	t.Helper()
	if g.TryTake(1) != 1 {
		t.Fatalf("no slot: %+v", g.State())
	}
	return g.Do(t.Context(), job, allowed, (&script{replies: replies}).ask)
}

func idle(t *testing.T, g *policy.Guard) {
	t.Helper()
	if s := g.State(); s.InFlight != 0 {
		t.Errorf("a slot is lost: %+v", s)
	}
}

// took is how long Take waits; the slots are given back.
func took(t *testing.T, g *policy.Guard) time.Duration {
	t.Helper()
	start := time.Now()
	n, err := g.Take(t.Context(), 1)
	if n != 1 || err != nil {
		t.Fatalf("%d slots, %v", n, err)
	}
	g.Give(n)
	return time.Since(start)
}

func TestRetryAfterShutsTakeForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told time.Time
		g := policy.NewGuard(policy.GuardConfig{OnGate: func(until time.Time) { told = until }})
		pulled := g.TryTake(3) // their jobs are on their way when the gate is shut
		r := do(t, g, "a", 5, retryAfter(429, 20))
		if r.Fault.Class != policy.RateLimited || r.Calls != 1 || g.State().Reason != "rate limit" || told != g.State().Until {
			t.Fatalf("%+v, %+v", r, g.State())
		}
		for range pulled {
			late := &script{}
			r := g.Do(t.Context(), "b", 5, late.ask)
			if late.calls != 0 || r.Fault == nil || r.Fault.Class != policy.RateLimited || r.Fault.RetryAfter < 20*time.Second || len(r.Attempts) != 0 {
				t.Errorf("called earlier than asked, or with an attempt: %+v", r)
			}
		}
		if g.TryTake(1) != 0 {
			t.Error("a slot while the gate is shut")
		}
		if d := took(t, g); d < 20*time.Second || d > 22*time.Second {
			t.Errorf("open after %v", d)
		}
		idle(t, g)
	})
}

// A gate that is shut for a moment does not send the jobs in hand through the queue.
func TestShortGateIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{})
		g.TryTake(1)
		do(t, g, "a", 5, retryAfter(429, 2))
		start, s := time.Now(), &script{}
		r := g.Do(t.Context(), "b", 5, s.ask)
		if d := time.Since(start); r.Fault != nil || d < 2*time.Second || d > 3*time.Second {
			t.Errorf("%+v after %v", r.Fault, d)
		}
		idle(t, g)
	})
}

// A gate that was shut between two tries in place holds for the second.
func TestGateEndsTriesInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{})
		time.AfterFunc(100*time.Millisecond, func() { g.Shut(time.Now().Add(time.Second)) })
		r := do(t, g, "a", 5, status(500))
		if r.Calls != 1 || r.Fault == nil || r.Fault.Status != 500 || len(r.Attempts) != 1 {
			t.Errorf("%+v", r)
		}
		idle(t, g)
	})
}

func TestTriesInPlace(t *testing.T) {
	t.Parallel()
	fails := []policy.Reply{status(500), status(502), status(504), status(500), status(500)}
	for _, c := range []struct {
		name                 string
		tries, allowed       int
		replies              []policy.Reply
		calls, attempts, end int
	}{
		{"heals", 2, 5, fails[:1], 2, 1, 0},
		{"no more than Tries", 2, 5, fails, 2, 2, 502},
		{"three", 3, 5, fails, 3, 3, 504},
		{"no more than allowed", 3, 2, fails, 2, 2, 502},
		{"the last one allowed", 3, 1, fails, 1, 1, 500},
		{"none left, one is made", 3, 0, fails, 1, 1, 500},
		{"never a permanent fault", 3, 5, []policy.Reply{status(400)}, 1, 1, 400},
		{"never a rate limit", 3, 5, []policy.Reply{status(429)}, 1, 1, 429},
		{"never where a time was named", 3, 5, []policy.Reply{retryAfter(500, 1)}, 1, 1, 500},
		{"transient, then a rate limit", 3, 5, []policy.Reply{status(500), status(429)}, 2, 2, 429},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := policy.NewGuard(policy.GuardConfig{Tries: c.tries})
				r := do(t, g, "a", c.allowed, c.replies...)
				if r.Calls != c.calls || len(r.Attempts) != c.attempts || (r.Fault == nil) != (c.end == 0) {
					t.Fatalf("%+v", r)
				}
				if r.Fault != nil && (r.Fault.Status != c.end || r.Reply.Status != c.end || r.Attempts[c.attempts-1].Status != c.end) {
					t.Errorf("not the last call: %+v", r)
				}
				idle(t, g)
			})
		})
	}
}

// Retries in place are a fifth of the calls, or three; the others' faults are told as they were.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 18, Start: 18}) // too few for the breaker
		var all sync.WaitGroup
		var mu sync.Mutex
		results := map[int]int{} // by calls made
		for range g.TryTake(18) {
			all.Go(func() {
				r := g.Do(t.Context(), "a", 5, func(context.Context) policy.Reply {
					time.Sleep(time.Second)
					return status(500)
				})
				if r.Fault == nil || r.Fault.Status != 500 || len(r.Attempts) != r.Calls {
					t.Errorf("%+v", r)
				}
				mu.Lock()
				defer mu.Unlock()
				results[r.Calls]++
			})
		}
		all.Wait()
		if results[1]+results[2] != 18 || results[2] < 1 || results[2] > 6 {
			t.Errorf("jobs by calls: %v", results)
		}
		idle(t, g)
	})
}

// A second try that our own policies refuse is no news: the result tells of the first.
func TestRefusedTryInPlaceTellsOfTheFirst(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(t *testing.T, g *policy.Guard){
		"the breaker opens": func(t *testing.T, g *policy.Guard) {
			t.Helper()
			for g.State().Breaker == "closed" {
				do(t, g, "b", 1, status(500))
			}
		},
		"the slot is gone": func(t *testing.T, g *policy.Guard) { t.Helper(); g.TryTake(1000) },
		"a hold begins":    func(t *testing.T, g *policy.Guard) { t.Helper(); g.SetHold(&policy.Hold{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := policy.NewGuard(policy.GuardConfig{})
				time.AfterFunc(100*time.Millisecond, func() { between(t, g) })
				r := do(t, g, "a", 5, status(502))
				if r.Calls != 1 || len(r.Attempts) != 1 || r.Fault == nil || r.Fault.Status != 502 || r.Reply.Status != 502 {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}
