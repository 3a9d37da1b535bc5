package policy_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// hang waits for its context, as a transport does, and says so in its own words.
func hang(ctx context.Context) policy.Reply {
	<-ctx.Done()
	return policy.Reply{Status: 200, Body: []byte(`{"choices":[{"mess`), Err: io.ErrUnexpectedEOF}
}

// The time is up for the body too. Another try in place would have no more time than the first.
func TestTimeoutCoversTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Timeout: 10 * time.Second})
		const calls = 1
		for allowed := range 3 {
			g.TryTake(1)
			start := time.Now()
			r := g.Do(t.Context(), "a", allowed, hang)
			if r.Fault == nil || r.Fault.Class != policy.Timeout || r.Calls != calls || len(r.Attempts) != calls {
				t.Errorf("allowed %d: %+v", allowed, r)
			}
			if d := time.Since(start); d != 10*time.Second {
				t.Errorf("allowed %d: %v", allowed, d)
			}
		}
		idle(t, g)
	})
}

// An answer that came although the time was up is paid for, and kept.
func TestAnswerAtTheLastMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 1, Timeout: time.Second, Tries: 1})
		var answers []policy.Reply
		for _, with := range []any{"the prompt", "an index", io.EOF} {
			g.TryTake(1)
			r := g.Do(t.Context(), "a", 5, func(context.Context) policy.Reply {
				if with == "an index" {
					return answers[len("an index")]
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
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
