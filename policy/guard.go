package policy

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// GuardConfig sets the limits of one provider. Zero fields mean the defaults.
type GuardConfig struct {
	// Provider names it in attempts and holds.
	Provider string
	// MaxInFlight is the ceiling of calls in flight. Default 64.
	MaxInFlight int
	// Start is the window's first limit. Default 16, at most MaxInFlight.
	Start int
	// Timeout of one call, its body read included. Default 60 s, or what Timeouts says of the
	// endpoint. A call after a timeout has half as long again, up to three times.
	Timeout  time.Duration
	Timeouts Timeouts
	// Tries is how many calls are made in place, within seconds, before a transient fault
	// sends the job back to the queue. Default 2.
	Tries int
	// RequestsPerMinute and TokensPerMinute are the pace, where the provider's headers name no
	// less; 0 is what the headers say, or else what its refusals teach.
	RequestsPerMinute, TokensPerMinute int
	// ProbeEvery is how often one job is tried while the provider is held. Default 60 s,
	// and it doubles up to eight times that.
	ProbeEvery time.Duration
	// RetryDelay is the first delay between tries in place. Default 500 ms.
	RetryDelay time.Duration
	// OutageDelay is how long the breaker stays open before it lets a call through.
	// Default 5 s.
	OutageDelay time.Duration
	Health      HealthConfig
	// Classify judges replies; nil means the built-in table.
	Classify func(Reply) *Fault
	// OnHold, OnRelease and OnGate tell the other workers. OnRelease has the hold that this
	// guard found to be wrong. May be nil.
	OnHold    func(Hold)
	OnRelease func(Hold)
	OnGate    func(until time.Time)
}

func (c GuardConfig) withDefaults() GuardConfig {
	setDefault(&c.MaxInFlight, 64)
	setDefault(&c.Start, 16)
	c.Timeouts = c.Timeouts.withDefaults(c.Timeout)
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
	if c.OnRelease == nil {
		c.OnRelease = func(Hold) {}
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
	c         GuardConfig
	window    *Window
	gate      gate
	pace      *pace
	scout     scout
	health    *Health
	executors executors
	latest    latencies
	recent    recent
	breaker   circuitbreaker.CircuitBreaker[*tries]

	mu   sync.Mutex
	hold *Hold
	part part
	// answered is when the latest answer came.
	answered time.Time
	moved    chan struct{} // closed when a hold or an outage ends; nil while nobody waits
	// trials counts the slots granted since the breaker last opened.
	trials int
}

// NewGuard returns a Guard that lets calls through.
func NewGuard(c GuardConfig) *Guard {
	c = c.withDefaults()
	g := &Guard{
		c: c, window: NewWindow(c.Start, c.MaxInFlight), health: NewHealth(c.Health),
		pace: newPace(c.RequestsPerMinute, c.TokensPerMinute),
	}
	g.breaker = newBreaker(g)
	// Outermost first. Retry is outside the breaker so that each call is judged and an open
	// breaker ends the tries; the bulkhead waits inside the breaker, so that an open one takes
	// no permit. The timeout is innermost (see executors), so that waiting is not timed.
	g.executors.around = []failsafe.Policy[*tries]{newRetry(c), g.breaker, newBulkhead(c)}
	return g
}

// Ceiling is the configured limit of calls in flight.
func (g *Guard) Ceiling() int { return g.c.MaxInFlight }
