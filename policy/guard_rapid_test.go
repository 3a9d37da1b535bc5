package policy_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

// step is one job of a plan: when it comes, how its calls end, and when its worker gives it up.
type step struct {
	after, latency, cancel time.Duration
	allowed                int
	ends                   []string
	giveBack               bool
}

type plan struct {
	ceiling, tries, rpm int
	steps               []step
}

func drawPlan(t *rapid.T) plan {
	ms := func(most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Millisecond
	}
	end := rapid.SampledFrom([]string{
		"answer", "answer", "answer", "500", "503", "429", "429 in 5", "500 in 2", "400", "401", "404",
		"reset", "panic", "hang", "cut body",
	})
	p := plan{
		ceiling: rapid.IntRange(1, 6).Draw(t, "ceiling"),
		tries:   rapid.IntRange(1, 4).Draw(t, "tries"),
		rpm:     rapid.SampledFrom([]int{0, 0, 60, 1000}).Draw(t, "rpm"),
	}
	for range rapid.IntRange(1, 60).Draw(t, "jobs") {
		s := step{
			after: ms(500, "after"), latency: ms(3000, "latency"), allowed: rapid.IntRange(-1, 5).Draw(t, "allowed"),
			ends: rapid.SliceOfN(end, 4, 4).Draw(t, "ends"), giveBack: rapid.IntRange(0, 9).Draw(t, "give back") == 0,
		}
		if rapid.IntRange(0, 4).Draw(t, "cancelled") == 0 {
			s.cancel = ms(4000, "cancel")
		}
		p.steps = append(p.steps, s)
	}
	return p
}

// rig runs a plan before one guard and notes what broke its promises.
type rig struct {
	plan
	g  *policy.Guard
	mu sync.Mutex
	// told is when a provider last named a time, asked what it named.
	told, asked time.Time
	inFlight    int
	wrong       []string
}

func (r *rig) fail(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *rig) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight++; r.inFlight > r.ceiling {
		r.fail("%d calls at once, the ceiling is %d", r.inFlight, r.ceiling)
	}
	if now := time.Now(); now.After(r.told) && now.Before(r.asked) {
		r.fail("called %v earlier than asked", r.asked.Sub(now))
	}
}

func (r *rig) end(named time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	if now := time.Now(); named > 0 && now.Add(named).After(r.asked) {
		r.told, r.asked = now, now.Add(named)
	}
}

func (r *rig) ask(ctx context.Context, end string, latency time.Duration) (reply policy.Reply) {
	r.begin()
	named := time.Duration(0)
	defer func() { r.end(named) }()
	select {
	case <-ctx.Done():
		return policy.Reply{Err: ctx.Err()}
	case <-time.After(latency):
	}
	switch end {
	case "answer":
		return answer()
	case "429 in 5":
		named = 5 * time.Second
		return retryAfter(429, 5)
	case "500 in 2":
		named = 2 * time.Second
		return retryAfter(500, 2)
	case "reset":
		return policy.Reply{Err: io.ErrUnexpectedEOF}
	case "cut body":
		return policy.Reply{Status: 200, Err: io.ErrUnexpectedEOF}
	case "panic":
		panic("at the provider's")
	case "hang":
		return hang(ctx)
	default:
		var n int
		_, _ = fmt.Sscan(end, &n)
		return status(n)
	}
}

func (r *rig) job(ctx context.Context, i int, s step) {
	if s.cancel > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cancel)
		defer cancel()
	}
	n, err := r.g.Take(ctx, 1)
	if err != nil {
		return
	}
	if s.giveBack {
		time.Sleep(s.latency)
		r.g.Give(n)
		return
	}
	calls := 0
	got := r.g.Do(ctx, strconv.Itoa(i), s.allowed, func(ctx context.Context) policy.Reply {
		calls++
		return r.ask(ctx, s.ends[min(calls, len(s.ends))-1], s.latency)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if most := max(1, min(s.allowed, r.tries)); got.Calls != calls || calls > most || len(got.Attempts) > calls {
		r.fail("%d calls, %d reported, %d attempts, at most %d", calls, got.Calls, len(got.Attempts), most)
	}
	if got.Cancelled && (got.Fault != nil || len(got.Attempts) > 0) {
		r.fail("cancelled, with a fault: %+v", got)
	}
	if n := len(got.Attempts); n > 0 && got.Fault != nil && (got.Attempts[n-1].Class != got.Fault.Class || got.Attempts[n-1].Status != got.Reply.Status) {
		r.fail("the fault is not the last call's: %+v", got)
	}
	if n := len(got.Attempts); got.Fault == nil && !got.Cancelled && n >= calls {
		r.fail("an answer that failed: %+v", got)
	}
}

func (r *rig) run(t *testing.T) {
	t.Helper()
	r.g = policy.NewGuard(policy.GuardConfig{
		MaxInFlight: r.ceiling, Tries: r.tries, RequestsPerMinute: r.rpm, Timeout: 5 * time.Second,
		Health: policy.HealthConfig{Alike: 3, Flood: 5, Row: 30},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	release := time.AfterFunc(2*time.Minute, func() { r.g.SetHold(nil) })
	defer release.Stop()
	var all sync.WaitGroup
	for i, s := range r.steps {
		time.Sleep(s.after)
		all.Go(func() { r.job(ctx, i, s) })
	}
	all.Wait()
	if s := r.g.State(); s.InFlight != 0 {
		r.fail("slots are lost: %+v", s)
	}
	r.heal(t)
}

// heal proves that nothing else is lost either: the bulkhead's permits, the breaker's trials and
// the promises of the pace. As many calls as the ceiling allows are answered one by one.
func (r *rig) heal(t *testing.T) {
	t.Helper()
	for range r.ceiling + 3 {
		r.g.SetHold(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		if _, err := r.g.Take(ctx, 1); err != nil {
			r.fail("never healed: %+v", r.g.State())
		} else if got := r.g.Do(ctx, "healer", 1, (&script{}).ask); got.Fault != nil {
			r.fail("healer: %+v", got.Fault)
		}
		cancel()
	}
}

// Whatever the outcomes, and whoever gives up when: no slot is lost, no call is one too many or
// comes too early, and a result tells of the last call that was heard.
func TestGuardKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{plan: drawPlan(rt)}
		synctest.Test(t, r.run)
		if len(r.wrong) > 0 {
			rt.Fatal(r.wrong)
		}
	})
}
