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

// Task is what Do has to know of a job.
type Task struct {
	// Key names the job among others where the provider's health is judged.
	Key string
	// Allowed bounds the calls that may be made, at least one.
	Allowed int
	// Call tells the time limit; the zero Call has GuardConfig.Timeout.
	Call Call
	// Timeouts is how many of the job's latest calls ran out of time (see History.Timeouts).
	// The next may take longer.
	Timeouts int
	// Deadline of the job; zero for none. No call goes on after it, and none is begun that is
	// likely to.
	Deadline time.Time
	// Mends says of a fault of the job that it will not be its end, as another provider is asked
	// or another request is made: it is then no sign of a broken template. May be nil.
	Mends func(*Fault) bool
}

// Do is DoTask for a job that asks for nothing special.
func (g *Guard) Do(ctx context.Context, job string, allowed int, ask func(context.Context) Reply) Result {
	return g.DoTask(ctx, Task{Key: job, Allowed: allowed}, ask)
}

// DoTask calls ask under the policies. The caller must hold one slot from Take, which DoTask
// returns. ask must honour its context and read the whole body before it returns; a panic in it
// counts as a failed call.
func (g *Guard) DoTask(ctx context.Context, task Task, ask func(context.Context) Reply) Result {
	t := &tries{guard: g, ctx: ctx, ask: ask, task: task, slot: true}
	defer t.leave()
	f := t.turn()
	g.pace.forget(1) // after turn, which took the place that was promised
	if t.place.size != (size{}) {
		g.wake() // it may have taken less than was thought
	}
	if ctx.Err() != nil {
		return Result{Cancelled: true}
	}
	if f == nil && g.TooLate(task.Deadline) {
		f = &Fault{Class: Expired, Rule: "deadline"}
	}
	if f != nil {
		return Result{Fault: f}
	}
	_, err := g.executors.limited(grown(g.c.limit(task.Call), task.Timeouts)).WithContext(ctx).GetWithExecution(t.call)
	r := Result{Reply: t.reply, Fault: t.fault, Calls: t.made, Attempts: t.failed}
	switch {
	case t.heard && r.Fault != nil && task.Mends != nil && task.Mends(r.Fault):
		r.Evidence = OfJob
	case t.heard: // whatever came after it: a refusal by our own policies is no news
		r.Evidence = g.judge(task.Key, r.Fault)
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
func (t *tries) turn() *Fault {
	g := t.guard
	g.scout.wait(t.ctx)
	held, _ := g.stopped()
	t.place = g.pace.take(t.task.Call.Body, held)
	for {
		wait, shut := t.place.wait(), time.Until(g.gate.opens())
		switch {
		case shut > max(wait, 0): // its turn passes: what nobody uses meanwhile is not saved up
			g.pace.giveUp(&t.place)
			if shut > briefly || sleep(t.ctx, shut, nil, nil) != nil {
				return &Fault{Class: RateLimited, Rule: "gate shut", RetryAfter: shut}
			}
			t.place = g.pace.take(t.task.Call.Body, held)
		case wait <= 0:
			return nil
		case wait > briefly || sleep(t.ctx, wait, nil, nil) != nil:
			g.pace.giveUp(&t.place)
			return &Fault{Class: RateLimited, Rule: "own pace", RetryAfter: min(wait, g.pace.elsewhere())}
		}
	}
}
