package policy_test

import (
	"context"
	"io"
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

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

func TestRetryAfterShutsTakeForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
	bubble(t, func(t *testing.T) {
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
	bubble(t, func(t *testing.T) {
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
			bubble(t, func(t *testing.T) {
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
	bubble(t, func(t *testing.T) {
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

// hang waits for its context, as a transport does, and says so in its own words.
func hang(ctx context.Context) policy.Reply {
	<-ctx.Done()
	return policy.Reply{Status: 200, Body: []byte(`{"choices":[{"mess`), Err: io.ErrUnexpectedEOF}
}

func TestTimeoutCoversTheBody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Timeout: 10 * time.Second})
		for allowed, calls := range []int{0: 1, 1: 1, 2: 2} {
			g.TryTake(1)
			start := time.Now()
			r := g.Do(t.Context(), "a", allowed, hang)
			if r.Fault == nil || r.Fault.Class != policy.Timeout || r.Calls != calls || len(r.Attempts) != calls {
				t.Errorf("allowed %d: %+v", allowed, r)
			}
			if d := time.Since(start); d < time.Duration(calls)*10*time.Second || d > time.Duration(calls)*11*time.Second {
				t.Errorf("allowed %d: %v", allowed, d)
			}
		}
		idle(t, g)
	})
}

// An answer that came although the time was up is paid for, and kept.
func TestAnswerAtTheLastMoment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Timeout: time.Second})
		g.TryTake(1)
		r := g.Do(t.Context(), "a", 5, func(ctx context.Context) policy.Reply {
			<-ctx.Done()
			return answer()
		})
		if r.Fault != nil || r.Calls != 1 {
			t.Errorf("%+v", r)
		}
		idle(t, g)
	})
}

// Waiting for the pace is no part of the call, so it is not timed.
func TestWaitingIsNotTimed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Timeout: time.Second, RequestsPerMinute: 30})
		g.TryTake(1)
		g.ProbeSlot() // one that was promised no place, and waits for two seconds
		for range 2 {
			r := g.Do(t.Context(), "a", 1, func(ctx context.Context) policy.Reply {
				time.Sleep(900 * time.Millisecond)
				if ctx.Err() != nil {
					t.Error("timed while it waited")
				}
				return answer()
			})
			if r.Fault != nil {
				t.Errorf("%+v", r.Fault)
			}
		}
		idle(t, g)
	})
}

func TestPanicIsAFailedCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 1, Timeout: time.Second, Tries: 1})
		for _, with := range []any{"the prompt", error(nil), io.EOF} {
			g.TryTake(1)
			r := g.Do(t.Context(), "a", 5, func(context.Context) policy.Reply {
				if with == error(nil) {
					var none map[string]int
					none["x"] = 1
				}
				panic(with)
			})
			if r.Fault == nil || r.Fault.Class != policy.Network || r.Fault.Rule != "panic" || len(r.Attempts) != 1 {
				t.Errorf("%+v", r)
			}
			if m := r.Fault.Message; m == "" || m == "provider panicked: the prompt" {
				t.Errorf("message %q", m)
			}
			idle(t, g)
		}
		if r := do(t, g, "b", 1); r.Fault != nil { // with a ceiling of 1, a lost permit is the last one
			t.Errorf("%+v", r.Fault)
		}
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Tries: 3})
		ctx, cancel := context.WithCancel(t.Context())
		g.TryTake(4)

		time.AfterFunc(time.Second, cancel)
		if r := g.Do(ctx, "on its way", 5, hang); !r.Cancelled || r.Fault != nil || r.Calls != 1 || len(r.Attempts) != 0 {
			t.Errorf("cut: %+v", r)
		}
		if r := g.Do(ctx, "before the call", 5, hang); !r.Cancelled || r.Calls != 0 {
			t.Errorf("before: %+v", r)
		}
		ctx, cancel = context.WithCancel(t.Context())
		r := g.Do(ctx, "a reply was there", 5, func(context.Context) policy.Reply { cancel(); return status(400) })
		if r.Cancelled || r.Fault == nil || r.Fault.Status != 400 {
			t.Errorf("a reply is a reply: %+v", r)
		}
		ctx, cancel = context.WithCancel(t.Context())
		n := 0
		r = g.Do(ctx, "in the second try", 5, func(ctx context.Context) policy.Reply {
			if n++; n == 1 {
				return status(500)
			}
			cancel()
			return hang(ctx)
		})
		if r.Cancelled || r.Fault == nil || r.Fault.Status != 500 || r.Calls != 2 || len(r.Attempts) != 1 {
			t.Errorf("the first try counts: %+v", r)
		}
		idle(t, g)
	})
}

func TestHoldStopsTake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var holds []policy.Hold
		g := policy.NewGuard(policy.GuardConfig{Provider: "p", OnHold: func(h policy.Hold) { holds = append(holds, h) }})
		r := do(t, g, "a", 5, status(401))
		if r.Evidence != policy.OfAccount || len(holds) != 1 || g.State().Reason != "hold" {
			t.Fatalf("%+v, %+v", r, g.State())
		}
		h := holds[0]
		if h.Provider != "p" || h.Class != policy.Auth || h.Status != 401 || h.Owner == "" || h.Remedy == "" || time.Until(h.Probe) != time.Minute {
			t.Errorf("%+v", h)
		}
		if g.TryTake(1) != 0 {
			t.Error("a slot of a held provider")
		}
		if !g.ProbeSlot() {
			t.Fatal("no slot for the probe")
		}
		if r := g.Do(t.Context(), "probe", 5, (&script{replies: []policy.Reply{status(401)}}).ask); r.Calls != 1 || len(holds) != 1 {
			t.Errorf("the first probe came early, so it moves nothing: %+v", r)
		}
		time.AfterFunc(time.Hour, func() { g.SetHold(nil) })
		if d := took(t, g); d != time.Hour {
			t.Errorf("released after %v", d)
		}
		idle(t, g)
	})
}

func TestProbesComeLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{ProbeEvery: time.Minute})
		do(t, g, "a", 5, status(402))
		for _, want := range []time.Duration{2, 4, 8, 8} {
			time.Sleep(time.Until(g.State().Hold.Probe))
			g.ProbeSlot()
			g.Do(t.Context(), "probe", 5, (&script{replies: []policy.Reply{status(402)}}).ask)
			if d := time.Until(g.State().Hold.Probe); d != want*time.Minute {
				t.Errorf("the next probe in %v, want %v minutes", d, int(want))
			}
		}
		g.SetHold(&policy.Hold{Class: policy.Auth}) // another worker's word counts
		if g.State().Hold.Class != policy.Auth {
			t.Errorf("%+v", g.State().Hold)
		}
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 2})
		if n, err := g.Take(t.Context(), 9); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if n, err := g.Take(ctx, 1); n != 0 || err == nil {
			t.Errorf("%d, %v", n, err)
		}
		time.AfterFunc(time.Minute, func() { g.Give(1) })
		if d := took(t, g); d != time.Minute {
			t.Errorf("free after %v", d)
		}
	})
}
