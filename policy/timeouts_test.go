package policy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// stuck makes a call that never ends by itself, and says how long it was let.
func stuck(t *testing.T, g *policy.Guard, task policy.Task) time.Duration {
	t.Helper()
	if g.TryTake(1) != 1 {
		t.Fatalf("no slot: %+v", g.State())
	}
	start := time.Now()
	r := g.DoTask(t.Context(), task, hang)
	if r.Fault == nil || r.Fault.Class != policy.Timeout || r.Calls != 1 {
		t.Fatalf("%+v", r)
	}
	return time.Since(start)
}

func TestTimeoutOfEachEndpoint(t *testing.T) {
	t.Parallel()
	set := policy.Timeouts{Chat: 10 * time.Second, Embeddings: 3 * time.Second}
	for _, c := range []struct {
		name, path, body string
		config           policy.GuardConfig
		want             time.Duration
	}{
		{"chat", "/v1/chat/completions", "{}", policy.GuardConfig{}, time.Minute},
		{"streamed", "/v1/chat/completions", `{"a":{"stream":false},"stream": true}`, policy.GuardConfig{}, 2 * time.Minute},
		{"not streamed", "/v1/chat/completions", `{"stream":false}`, policy.GuardConfig{}, time.Minute},
		{"inner word", "/v1/messages", `{"metadata":{"stream":true}}`, policy.GuardConfig{}, time.Minute},
		{"embeddings", "/v1/embeddings", "{}", policy.GuardConfig{}, 30 * time.Second},
		{"responses", "/v1/responses", "{}", policy.GuardConfig{}, time.Minute},
		{"messages", "/v1/messages", "{}", policy.GuardConfig{}, time.Minute},
		{"another", "/v1/moderations", "{}", policy.GuardConfig{}, time.Minute},
		{"no path", "", "", policy.GuardConfig{Timeouts: set}, time.Minute},
		{"set", "/v1/chat/completions", "{}", policy.GuardConfig{Timeouts: set}, 10 * time.Second},
		{"set beside all", "/v1/embeddings", "{}", policy.GuardConfig{Timeouts: set, Timeout: time.Second}, 3 * time.Second},
		{"all", "/v1/embeddings", "{}", policy.GuardConfig{Timeout: time.Second}, time.Second},
		{"all, streamed", "/v1/messages", `{"stream":true}`, policy.GuardConfig{Timeout: time.Second}, time.Second},
		{"slow chat, streamed", "/v1/chat/completions", `{"stream":true}`, policy.GuardConfig{
			Timeouts: policy.Timeouts{Chat: time.Hour},
		}, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			task := policy.Task{Call: policy.Call{Path: c.path, Body: []byte(c.body)}}
			if d := stuck(t, policy.NewGuard(c.config), task); d != c.want {
				t.Errorf("%s: %v, want %v", c.name, d, c.want)
			}
		})
	}
}

// What took too long has half as long again, and in the end three times as long.
func TestTimeoutGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Timeout: 10 * time.Second})
		h := policy.History{}
		for _, seconds := range []float64{10, 15, 22.5, 30, 30} {
			want := time.Duration(seconds * float64(time.Second))
			if d := stuck(t, g, policy.Task{Timeouts: h.Timeouts()}); d != want {
				t.Errorf("after %d timeouts: %v, want %v", h.Timeouts(), d, want)
			}
			h.Attempts = append(h.Attempts, policy.Attempt{Class: policy.Timeout})
		}
		h.Attempts = append(h.Attempts, policy.Attempt{Class: policy.ServerError}, policy.Attempt{Class: policy.Timeout})
		if n := h.Timeouts(); n != 1 {
			t.Errorf("%d timeouts in a row", n)
		}
		idle(t, g)
	})
}

// No call goes on after the deadline, and none is begun that half of the latest calls would not
// have ended in time.
func TestNoCallBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{})
		in := func(d time.Duration) policy.Task { return policy.Task{Key: "a", Deadline: time.Now().Add(d)} }
		if d := stuck(t, g, in(5*time.Second)); d != 5*time.Second {
			t.Errorf("cut off after %v", d)
		}
		for i, took := range []time.Duration{0, 3 * time.Second, 20 * time.Second, 4 * time.Second} {
			quick := time.Duration([]int64{0, 3, 3, 4}[i] * 1e9)
			if i == 0 {
				quick = time.Second // nothing is known yet
			} else {
				g.TryTake(1)
				g.Do(t.Context(), "b", 1, func(context.Context) policy.Reply { time.Sleep(took); return answer() })
			}
			g.TryTake(1)
			late := &script{}
			r := g.DoTask(t.Context(), in(quick-time.Millisecond), late.ask)
			if late.calls != 0 || r.Calls != 0 || r.Fault == nil || r.Fault.Class != policy.Expired || len(r.Attempts) != 0 {
				t.Errorf("%d: called too late: %+v", i, r)
			}
			d := policy.Decide(r.Fault, policy.History{}, 0, r.Evidence, policy.Terms{Attempts: 5}, time.Now())
			if d.Outcome != policy.Dead || d.Class != policy.Expired {
				t.Errorf("%d: %+v", i, d)
			}
			if i > 0 && g.TooLate(time.Now().Add(quick)) || g.TooLate(time.Time{}) {
				t.Errorf("%d: there is time enough", i)
			}
		}
		idle(t, g)
	})
}

// A second try in place is a call too.
func TestNoTryBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{RetryDelay: 100 * time.Millisecond})
		g.TryTake(1)
		s := &script{replies: []policy.Reply{status(500)}}
		r := g.DoTask(t.Context(), policy.Task{Allowed: 5, Deadline: time.Now().Add(1050 * time.Millisecond)}, s.ask)
		if s.calls != 1 || r.Fault == nil || r.Fault.Class != policy.ServerError {
			t.Errorf("%d calls, %+v", s.calls, r)
		}
		idle(t, g)
	})
}
