package policy

import (
	"context"
	"time"
)

// Take waits until the provider may be called and returns up to want slots, at least one.
// Each slot is used up by one Do or returned by Give. It blocks while the gate is shut, the
// breaker is open, the provider is held or no slot is free, so that no job is pulled that
// could not be called. The error is the context's.
func (g *Guard) Take(ctx context.Context, want int) (int, error) {
	for ctx.Err() == nil {
		moved := g.movement() // before the look, so that no move is missed
		got, wait, changed := g.tryTake(want)
		if got > 0 {
			return got, nil
		}
		if err := sleep(ctx, wait, changed, moved); err != nil {
			return 0, err
		}
	}
	return 0, ctx.Err()
}

// TryTake is Take without waiting; it returns 0 when no slot is to be had now.
func (g *Guard) TryTake(want int) int {
	got, _, _ := g.tryTake(want)
	return got
}

// Give returns slots that led to no call.
func (g *Guard) Give(n int) { g.window.Give(n) }

// tryTake returns slots, or how long to wait at most and what may end the wait early.
func (g *Guard) tryTake(want int) (got int, wait time.Duration, changed <-chan struct{}) {
	state := g.State()
	if state.Until.After(time.Now()) {
		return 0, time.Until(state.Until), nil
	}
	if state.Hold != nil {
		return 0, 0, nil
	}
	if g.breaker.IsHalfOpen() {
		want = 1
	}
	if tokens := g.pace.Tokens(); tokens < float64(want) {
		want = max(int(tokens), 1)
		if tokens < 0 { // jobs already wait for their turn
			return 0, time.Duration(-tokens / float64(g.pace.Limit()) * float64(time.Second)), nil
		}
	}
	got, changed = g.window.TryTake(want)
	return got, time.Second, changed
}

// sleep waits for the time, a free slot, a move of gate or hold, or the end of ctx.
func sleep(ctx context.Context, wait time.Duration, changed, moved <-chan struct{}) error {
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer:
	case <-changed:
	case <-moved:
	}
	return nil
}

func (g *Guard) movement() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.moved
}

func (g *Guard) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.moved)
	g.moved = make(chan struct{})
}

// State is what stands between the queue and the provider now.
type State struct {
	// Reason is one of "", "hold", "rate limit", "outage", "pace".
	Reason string
	// Until is when that ends, where it is known.
	Until time.Time
	Hold  *Hold
	// Window and InFlight are the calls allowed and on their way.
	Window, InFlight int
	Breaker          string
}

// State tells why the provider is called no faster.
func (g *Guard) State() State {
	var s State
	s.Window, s.InFlight = g.window.Load()
	s.Breaker = g.breaker.State().String()
	if opens := g.gate.opens(); opens.After(time.Now()) {
		s.Reason, s.Until = "rate limit", opens
	}
	if rest := g.breaker.RemainingDelay(); rest > 0 && time.Now().Add(rest).After(s.Until) {
		s.Reason, s.Until = "outage", time.Now().Add(rest)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold != nil {
		s.Hold, s.Reason, s.Until = g.hold, "hold", time.Time{}
	}
	return s
}
