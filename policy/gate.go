package policy

import (
	"math/rand/v2"
	"sync"
	"time"
)

// gate is shut until a time the provider asked for. It only ever moves outwards while shut.
type gate struct {
	mu    sync.Mutex
	until time.Time
	// strikes counts rate limits in a row that gave no time, to wait longer each time.
	strikes int
	// sum is for how long it was shut in all, and will be until then.
	sum time.Duration
}

// The spread added to a wait, upwards only: a fleet that was told the same time must not
// come back at the same instant.
const (
	jitterShare = 0.1
	jitterMax   = 5 * time.Second
)

// waits are those of refusals in a row that name no time.
type waits struct{ first, most time.Duration }

// After a rate limit the pace has come down, so that a moment is enough at first. A provider
// that carries nothing gets one call at a time, and is found open soon after it is.
//
//nolint:gochecknoglobals // constants, if Go had such
var (
	rateWaits     = waits{250 * time.Millisecond, backoffMax}
	overloadWaits = waits{time.Second, 2 * time.Second}
)

// Jitter returns d with up to a tenth added, at most five seconds, and never less than d.
func Jitter(d time.Duration) time.Duration {
	spread := min(time.Duration(float64(d)*jitterShare), jitterMax)
	if spread <= 0 {
		return d
	}
	return d + rand.N(spread) //nolint:gosec // spreading load needs no secrecy
}

// strike shuts the gate for retryAfter, or for a growing while when the provider gave none. The
// calls that were sent before the gate opened again are one burst: they were refused for the
// same reason, and are one strike however late their replies come.
func (g *gate) strike(retryAfter time.Duration, w waits, sent, now time.Time) (until time.Time, moved bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if retryAfter <= 0 {
		if sent.Before(g.until) {
			return g.until, false
		}
		retryAfter = min(w.first<<min(g.strikes, 16), w.most)
		g.strikes++
	}
	if !now.Add(retryAfter).After(g.until) { // shut that long already: the jitter is not added twice
		return g.until, false
	}
	g.move(now.Add(Jitter(retryAfter)), now)
	return g.until, true
}

// shut keeps the gate shut until a time another worker was told.
func (g *gate) shut(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.After(g.until) {
		g.move(until, time.Now())
	}
}

// move sets when the gate opens, and keeps the sum of the time it is shut. g.mu is held.
func (g *gate) move(until, now time.Time) {
	g.sum += max(until.Sub(now), 0) - max(g.until.Sub(now), 0)
	g.until = until
}

// shutFor is for how long the gate has been shut so far.
func (g *gate) shutFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sum - max(g.until.Sub(now), 0)
}

// answered ends a row of strikes. An answer to a call that was sent before the gate last
// opened says nothing: it was among those that led to the strike.
func (g *gate) answered(sent time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !sent.Before(g.until) {
		g.strikes = 0
	}
}

func (g *gate) opens() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until
}

// Shut makes the guard obey a gate another worker was told of.
func (g *Guard) Shut(until time.Time) { g.gate.shut(until) }

// Open opens a gate that was shut too long, as somebody has found out.
func (g *Guard) Open() {
	g.gate.open()
	g.wake()
}

// open ends the row of strikes too.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.move(time.Time{}, time.Now())
	g.strikes = 0
}
