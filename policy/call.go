package policy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/failsafe-go/failsafe-go"
)

// tries is the state of one Do over its calls, and the result the failsafe policies see: they
// judge the class of its fault, not an error. Reply and fault are those of the last call that
// was heard to its end.
type tries struct {
	guard  *Guard
	ctx    context.Context //nolint:containedctx // lives no longer than the call it belongs to
	ask    func(context.Context) Reply
	task   Task
	place  place
	slot   bool // of the window, and no call has used it yet
	made   int
	heard  bool
	cut    bool // the caller's context ended the last call: it says nothing
	last   bool // no further try in place
	reply  Reply
	fault  *Fault
	failed []Attempt
}

// call makes one call. It holds a slot of the window only while the call is on its way, not
// between tries.
func (t *tries) call(exec failsafe.Execution[*tries]) (*tries, error) {
	if t.made > 0 && !t.again() { // the breaker counts the fault twice, as no outcome is none
		t.last = true
		return t, nil
	}
	g := t.guard
	t.made++
	t.slot = false
	sent := time.Now()
	g.window.Begin(sent)
	reply, fault := t.answer(exec.Context())
	now := time.Now()
	reply.Latency = now.Sub(sent)
	if fault != nil && t.ctx.Err() != nil && unheard(reply) {
		g.window.End()
		g.scout.back()
		t.cut, t.last = true, true
		return t, nil
	}
	t.heard, t.reply, t.fault = true, reply, fault
	g.pace.replied(&t.place, sent, now, &reply, fault)
	g.account(sent, now, fault)
	g.scout.back() // after pace and gate have learned: those who waited go by them
	if t.place.size != (size{}) {
		g.wake() // it may have used less than was thought
	}
	g.recent.add(now, fault)
	if fault != nil {
		t.failed = append(t.failed, NewAttempt(sent, g.c.Provider, reply.Latency, fault))
	}
	// A provider that names a time is left alone until then, and what took too long gets more
	// time when it comes again: that is the queue's work.
	t.last = !outage(fault) || fault.RetryAfter > 0 || fault.Class == Timeout || t.made >= t.task.Allowed
	return t, nil
}

// again says whether one more try in place may be made, and takes a slot and a turn for it.
// What has happened since the first try counts: others may have been told to wait, or have the
// slot by now. Then it is the queue's work.
func (t *tries) again() bool {
	g := t.guard
	if held, shut := g.stopped(); held || shut > 0 || t.last || t.ctx.Err() != nil || g.TooLate(t.task.Deadline) {
		return false
	}
	got, _ := g.window.TryTake(1)
	t.slot = got == 1
	return t.slot && t.turn() == nil
}

func (t *tries) leave() {
	if t.slot {
		t.guard.window.Give(1)
		t.guard.trialOver(1)
	}
}

// answer asks and classifies the reply. An answer that came at the last moment is one,
// whatever the timeout says.
func (t *tries) answer(ctx context.Context) (Reply, *Fault) {
	if d := t.task.Deadline; !d.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d)
		defer cancel()
	}
	r := safely(ctx, t.ask)
	f := t.guard.c.Classify(r)
	switch {
	case f == nil:
	case errors.Is(r.Err, errPanicked):
		f.Rule, f.Message = "panic", r.Err.Error()
	case ctx.Err() != nil && t.ctx.Err() == nil && unheard(r):
		f.Class, f.Rule = Timeout, "timeout" // ours, whatever the transport calls it
	}
	return r, f
}

// unheard says that no whole reply came. A refusal is one even when its body was cut short.
func unheard(r Reply) bool { return r.Status == 0 || r.Err != nil && r.Status < 400 }

// errPanicked is a provider's panic.
var errPanicked = errors.New("provider panicked")

// safely turns a panic into a failed call: failsafe-go's bulkhead and half-open breaker would
// lose a permit to it for ever.
func safely(ctx context.Context, ask func(context.Context) Reply) (r Reply) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case runtime.Error:
			r = Reply{Err: fmt.Errorf("%w: %w", errPanicked, v)}
		default: // its text may be a prompt
			r = Reply{Err: fmt.Errorf("%w: %T", errPanicked, v)}
		}
	}()
	return ask(ctx)
}

// account returns the call's slot and notes what the call says about capacity.
func (g *Guard) account(sent, now time.Time, f *Fault) {
	nothing := false
	switch {
	case f == nil:
		g.window.Answered(now.Sub(sent), now)
		g.latest.add(now.Sub(sent))
		g.gate.answered(sent)
		return
	case f.Class == Overloaded:
		nothing = g.window.Refused(sent, now)
	default:
		g.window.End()
	}
	v := f.Class.Verdict()
	// A window at its floor that is refused still calls as fast as the refusals come, so a
	// provider that carries nothing shuts the gate too.
	if f.Class == RateLimited || nothing || f.RetryAfter > 0 && (v == VerdictLater || v == VerdictRetry) {
		waits := rateWaits
		if nothing {
			waits = overloadWaits
		}
		if until, moved := g.gate.strike(f.RetryAfter, waits, sent, now); moved {
			g.c.OnGate(until)
		}
	}
}
