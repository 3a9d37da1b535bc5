package policy

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// try is the result the failsafe policies see: they judge its class, not an error.
type try struct {
	fault *Fault
	last  bool // no further try in place
}

// tries is the state of one Do over its calls.
type tries struct {
	guard   *Guard
	ctx     context.Context //nolint:containedctx // lives no longer than the call it belongs to
	ask     func(context.Context) Reply
	allowed int
	slot    bool
	made    int
	reply   Reply
	fault   *Fault
	failed  []Attempt
}

// call makes one call. It holds a slot of the window only while the call is on its way, not
// between tries.
func (t *tries) call(exec failsafe.Execution[*try]) (*try, error) {
	g := t.guard
	if !t.slot {
		got, _ := g.window.TryTake(1)
		if got == 0 { // others have it by now: back to the queue
			return &try{fault: t.fault, last: true}, nil
		}
		t.slot = true
	}
	t.made++
	start := time.Now()
	t.reply = t.ask(exec.Context())
	now := time.Now()
	t.reply.Latency = now.Sub(start)
	t.fault = g.c.Classify(t.reply)
	if t.fault != nil && t.fault.Status == 0 && exec.Context().Err() != nil && t.ctx.Err() == nil {
		t.fault.Class = Timeout // cut off by our own timeout, whatever the transport calls it
	}
	t.slot = false
	g.account(t.reply, t.fault, now)
	if t.fault != nil && t.ctx.Err() == nil {
		t.failed = append(t.failed, NewAttempt(start, g.c.Provider, t.reply.Latency, t.fault))
	}
	return &try{fault: t.fault, last: t.made >= t.allowed}, nil
}

func (t *tries) giveSlot() {
	if t.slot {
		t.guard.window.Give(1)
		t.slot = false
	}
}

// account returns the call's slot and notes what the call says about capacity.
func (g *Guard) account(r Reply, f *Fault, now time.Time) {
	switch {
	case f == nil:
		g.window.Answered(r.Latency, now)
		return
	case f.Class == Overloaded:
		g.window.Refused(now)
	default:
		g.window.Give(1)
	}
	v := f.Class.Verdict()
	if f.Class == RateLimited || f.RetryAfter > 0 && (v == VerdictLater || v == VerdictRetry) {
		if until, moved := g.gate.strike(Jitter(f.RetryAfter), now); moved {
			g.wake()
			g.c.OnGate(until)
		}
	}
}

// outage tells the faults that another try may mend.
func outage(t *try, err error) bool {
	if errors.Is(err, timeout.ErrExceeded) {
		return true
	}
	return t != nil && t.fault != nil && t.fault.Class.Verdict() == VerdictRetry
}

func newRetry(c GuardConfig) retrypolicy.RetryPolicy[*try] {
	again := func(t *try, err error) bool {
		// A provider that names a time is left alone until then: that is the queue's work.
		return outage(t, err) && (t == nil || !t.last && t.fault.RetryAfter == 0)
	}
	b := retrypolicy.NewBuilder[*try]().HandleIf(again).
		AbortOnErrors(circuitbreaker.ErrOpen, bulkhead.ErrFull, budget.ErrExceeded, context.Canceled).
		WithMaxAttempts(c.Tries).
		WithJitterFactor(.25).ReturnLastFailure().
		// Retries are a fifth of the calls at most, so that an outage does not double the load.
		WithBudget(budget.NewBuilder().WithMaxRate(.2).WithMinConcurrency(3).Build())
	if c.Tries > 2 {
		b = b.WithBackoff(c.RetryDelay, 8*c.RetryDelay)
	} else {
		b = b.WithDelay(c.RetryDelay)
	}
	return b.Build()
}

// The breaker opens when half of at least 20 calls within 30 s failed as an outage, and
// closes again after 2 of 3 good ones.
func newBreaker(c GuardConfig) circuitbreaker.CircuitBreaker[*try] {
	return circuitbreaker.NewBuilder[*try]().HandleIf(outage).
		WithFailureRateThreshold(.5, 20, 30*time.Second).
		WithSuccessThresholdRatio(2, 3).
		WithDelay(c.OutageDelay).WithJitterFactor(.2).Build()
}

func newTimeout(d time.Duration) timeout.Timeout[*try] { return timeout.New[*try](d) }
