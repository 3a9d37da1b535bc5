package policy

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// outage tells the faults that another try may mend.
func outage(f *Fault) bool { return f != nil && f.Class.Verdict() == VerdictRetry }

func newRetry(c GuardConfig) retrypolicy.RetryPolicy[*tries] {
	again := func(t *tries, _ error) bool { return t != nil && !t.last }
	b := retrypolicy.NewBuilder[*tries]().HandleIf(again).
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

// trialCalls show whether an outage is over, and trialsGood of them that it is.
const (
	trialCalls = 3
	trialsGood = 2
)

// The breaker opens when half of at least 20 calls within 30 s failed as an outage. What is no
// outage counts as a success, but a half-open breaker wants proof: a call that was cut off or
// never made is none.
func newBreaker(g *Guard) circuitbreaker.CircuitBreaker[*tries] {
	failed := func(t *tries, err error) bool {
		if t == nil || t.cut {
			return errors.Is(err, timeout.ErrExceeded) || g.breaker.IsHalfOpen()
		}
		return outage(t.fault)
	}
	return circuitbreaker.NewBuilder[*tries]().HandleIf(failed).
		WithFailureRateThreshold(.5, 20, 30*time.Second).
		WithSuccessThresholdRatio(trialsGood, trialCalls).
		WithDelay(g.c.OutageDelay).WithJitterFactor(.2).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) { g.outageMoved(e.NewState) }).
		Build()
}

// newBulkhead keeps to the configured ceiling whatever the window believes. It waits only for
// calls that have returned their slot and not yet their permit.
func newBulkhead(c GuardConfig) bulkhead.Bulkhead[*tries] {
	return bulkhead.NewBuilder[*tries](uint(c.MaxInFlight)).WithMaxWaitTime(c.Timeout).Build()
}

// executors are one for each time limit that was met. All share the policies around the
// timeout, which ends a call by its context and waits for it to return.
type executors struct {
	around []failsafe.Policy[*tries]

	mu   sync.Mutex
	each map[time.Duration]failsafe.Executor[*tries]
}

// maxExecutors is more than the endpoints and the steps by which their limits grow come to.
const maxExecutors = 64

func (e *executors) limited(d time.Duration) failsafe.Executor[*tries] {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x, ok := e.each[d]; ok {
		return x
	}
	x := failsafe.With(append(slices.Clip(e.around), timeout.New[*tries](d))...)
	if e.each == nil {
		e.each = map[time.Duration]failsafe.Executor[*tries]{}
	}
	if len(e.each) < maxExecutors {
		e.each[d] = x
	}
	return x
}
