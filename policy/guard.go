package policy

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"golang.org/x/time/rate"
)

// GuardConfig sets the limits of one provider. Zero fields mean the defaults.
type GuardConfig struct {
	// Provider names it in attempts and holds.
	Provider string
	// MaxInFlight is the ceiling of calls in flight. Default 64.
	MaxInFlight int
	// Start is the window's first limit. Default 16, at most MaxInFlight.
	Start int
	// Timeout of one call, its body read included. Default 60 s.
	Timeout time.Duration
	// Tries is how many calls are made in place, within seconds, before a transient fault
	// sends the job back to the queue. Default 2.
	Tries int
	// RequestsPerMinute is the pace; 0 is unlimited.
	RequestsPerMinute int
	// ProbeEvery is how often one job is tried while the provider is held. Default 60 s,
	// and it doubles up to ten times that.
	ProbeEvery time.Duration
	// RetryDelay is the first delay between tries in place. Default 500 ms.
	RetryDelay time.Duration
	// OutageDelay is how long the breaker stays open before it lets a call through.
	// Default 5 s.
	OutageDelay time.Duration
	Health      HealthConfig
	// Classify judges replies; nil means the built-in table.
	Classify func(Reply) *Fault
	// OnHold and OnGate tell the other workers; they must not block. May be nil.
	OnHold func(Hold)
	OnGate func(until time.Time)
}

func (c GuardConfig) withDefaults() GuardConfig {
	setDefault(&c.MaxInFlight, 64)
	setDefault(&c.Start, 16)
	setDefault(&c.Timeout, time.Minute)
	setDefault(&c.Tries, 2)
	setDefault(&c.ProbeEvery, time.Minute)
	setDefault(&c.RetryDelay, 500*time.Millisecond)
	setDefault(&c.OutageDelay, 5*time.Second)
	if c.Classify == nil {
		c.Classify = Classify
	}
	if c.OnHold == nil {
		c.OnHold = func(Hold) {}
	}
	if c.OnGate == nil {
		c.OnGate = func(time.Time) {}
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Guard stands before one provider. All jobs share it: what one of them is told holds for
// the others. It is safe for concurrent use.
type Guard struct {
	c       GuardConfig
	window  *Window
	gate    gate
	pace    *rate.Limiter
	health  *Health
	breaker circuitbreaker.CircuitBreaker[*try]
	exec    failsafe.Executor[*try]

	mu    sync.Mutex
	hold  *Hold
	moved chan struct{} // closed and replaced when hold or gate change
}

// NewGuard returns a Guard that lets calls through.
func NewGuard(c GuardConfig) *Guard {
	c = c.withDefaults()
	g := &Guard{
		c: c, window: NewWindow(c.Start, c.MaxInFlight), health: NewHealth(c.Health),
		breaker: newBreaker(c), moved: make(chan struct{}),
		pace: rate.NewLimiter(rate.Inf, math.MaxInt),
	}
	if c.RequestsPerMinute > 0 {
		perSecond := float64(c.RequestsPerMinute) / 60
		g.pace = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
	}
	// Outermost first. Retry is outside the breaker so that each call is judged and an open
	// breaker ends the tries; the bulkhead waits inside the breaker, so that an open one
	// takes no permit; the timeout is innermost, so that waiting is not timed.
	g.exec = failsafe.With[*try](newRetry(c), g.breaker, bulkhead.NewBuilder[*try](uint(c.MaxInFlight)). //nolint:gosec // positive
														WithMaxWaitTime(c.Timeout).Build(), newTimeout(c.Timeout))
	return g
}

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
	// Cancelled says that the caller's context ended it; Fault then says nothing.
	Cancelled bool
}

// Do calls ask under the policies. The caller must hold one slot from Take, which Do returns.
// allowed bounds the calls that may be made, at least one. ask must honour its context and
// read the whole body before it returns.
func (g *Guard) Do(ctx context.Context, job string, allowed int, ask func(context.Context) Reply) Result {
	t := &tries{guard: g, ctx: ctx, ask: ask, allowed: allowed, slot: true}
	defer t.giveSlot()
	if wait := g.paceWait(ctx); wait > 0 {
		return Result{Fault: &Fault{Class: RateLimited, Rule: "own pace", RetryAfter: wait}}
	}
	_, err := g.exec.WithContext(ctx).GetWithExecution(t.call)
	r := Result{Reply: t.reply, Fault: t.fault, Calls: t.made, Attempts: t.failed}
	switch {
	case ctx.Err() != nil && (t.fault != nil || t.made == 0):
		r.Cancelled = true
	case t.made == 0:
		r.Fault = g.refusedHere(err)
	default:
		r.Evidence = g.judge(job, r.Fault)
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

// paceWait takes the job's place in the pace and waits for it, or says how long it would
// have had to wait.
func (g *Guard) paceWait(ctx context.Context) time.Duration {
	r := g.pace.Reserve()
	wait := r.Delay()
	if wait > briefly {
		r.Cancel()
		return wait
	}
	if wait > 0 && sleep(ctx, wait, nil, nil) != nil {
		r.Cancel()
	}
	return 0
}

// judge notes the outcome of a job in the provider's health.
func (g *Guard) judge(job string, f *Fault) Evidence {
	if f == nil {
		g.health.Answer()
		g.gate.answered()
		return Unclear
	}
	e, hold := g.health.Judge(job, f)
	if hold {
		g.startHold(f)
	}
	if f.Class.Verdict() == VerdictRetry && !g.breaker.IsClosed() {
		return OfAccount
	}
	return e
}

// Ceiling is the configured limit of calls in flight.
func (g *Guard) Ceiling() int { return g.c.MaxInFlight }
