package policy

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// Result is what became of one Do.
type Result struct {
	// Reply is the last reply; an answer when Fault is nil.
	Reply Reply
	Fault *Fault
	// Calls is how many calls were made; Attempts are those that failed.
	Calls    int
	Attempts []Attempt
	// Evidence says whose the fault is.
	Evidence Evidence
	// Cancelled says that the caller's context ended it before any reply; Fault is nil then.
	Cancelled bool
}

// Do calls ask under the policies. The caller must hold one slot from Take, which Do returns.
// allowed bounds the calls that may be made, at least one. ask must honour its context and
// read the whole body before it returns; a panic in it counts as a failed call.
func (g *Guard) Do(ctx context.Context, job string, allowed int, ask func(context.Context) Reply) Result {
	t := &tries{guard: g, ctx: ctx, ask: ask, allowed: allowed, slot: true}
	defer t.leave()
	f := g.turn(ctx)
	g.pace.forget(1) // after turn, which took the place that was promised
	if ctx.Err() != nil {
		return Result{Cancelled: true}
	}
	if f != nil {
		return Result{Fault: f}
	}
	_, err := g.exec.WithContext(ctx).GetWithExecution(t.call)
	r := Result{Reply: t.reply, Fault: t.fault, Calls: t.made, Attempts: t.failed}
	switch {
	case t.heard: // whatever came after it: a refusal by our own policies is no news
		r.Evidence = g.judge(job, r.Fault)
	case ctx.Err() != nil:
		r.Cancelled = true
	default:
		r.Fault, r.Evidence = g.refusedHere(err), OfAccount // no call, so no attempt
	}
	return r
}

// refusedHere is the fault of a job that one of our own policies turned away.
func (g *Guard) refusedHere(err error) *Fault {
	f := &Fault{Class: Overloaded, Rule: "bulkhead full", Err: err, RetryAfter: time.Second}
	if errors.Is(err, circuitbreaker.ErrOpen) {
		f.Class, f.Rule = ServerError, "breaker open"
		f.RetryAfter = max(g.breaker.RemainingDelay(), time.Second)
	}
	return f
}

// briefly is how long a job may wait here for its turn; a longer wait goes back to the queue.
const briefly = 3 * time.Second

// turn waits until the pace and the gate let one more call through. The job was pulled when
// both did, but the gate may have been shut since, and no call is made earlier than asked.
func (g *Guard) turn(ctx context.Context) *Fault {
	place := g.pace.take()
	for {
		wait, rule := place.wait(), "own pace"
		if shut := time.Until(g.gate.opens()); shut > wait {
			wait, rule = shut, "gate shut"
		}
		if wait <= 0 {
			return nil
		}
		if wait > briefly || sleep(ctx, wait, nil, nil) != nil {
			place.giveUp()
			return &Fault{Class: RateLimited, Rule: rule, RetryAfter: wait}
		}
	}
}
