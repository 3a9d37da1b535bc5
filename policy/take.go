package policy

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
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
func (g *Guard) Give(n int) {
	if n <= 0 {
		return
	}
	g.window.Give(n)
	g.pace.forget(n)
	g.trialOver(n)
}

// tryTake returns slots, or how long to wait at most and what may end the wait early.
func (g *Guard) tryTake(want int) (got int, wait time.Duration, changed <-chan struct{}) {
	if held, shut := g.stopped(); held || want <= 0 {
		return 0, lookAgain, nil
	} else if shut > 0 {
		return 0, shut, nil
	}
	trials := g.trial(want)
	if trials == 0 {
		return 0, lookAgain, nil
	}
	places, wait := g.pace.promise(trials)
	if places > 0 {
		got, changed = g.window.TryTake(places)
		g.pace.forget(places - got)
		wait = lookAgain
	}
	g.trialOver(trials - got)
	return got, wait, changed
}

// stopped says whether the provider is held, or else how long it must be left alone.
func (g *Guard) stopped() (held bool, shut time.Duration) {
	g.mu.Lock()
	held = g.hold != nil
	g.mu.Unlock()
	return held, max(time.Until(g.gate.opens()), g.breaker.RemainingDelay(), 0)
}

// lookAgain bounds every wait: a lost wake-up must not stop the night.
const lookAgain = time.Second

// trial bounds the slots taken while an outage may not be over: the breaker lets few calls
// through then, and a job that it refused would have been pulled in vain.
func (g *Guard) trial(want int) int {
	if g.breaker.IsClosed() {
		return want
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(want, trialCalls-g.trials)
	g.trials += n
	return n
}

// trialOver takes back n trials that led to no call.
func (g *Guard) trialOver(n int) {
	if n == 0 || g.breaker.IsClosed() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trials = max(g.trials-n, 0)
}

// outageMoved begins a new count of trials when the breaker opens, and lets all in when it
// closes.
func (g *Guard) outageMoved(to circuitbreaker.State) {
	if to == circuitbreaker.HalfOpenState {
		return
	}
	g.mu.Lock()
	g.trials = 0
	g.mu.Unlock()
	g.wake()
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
	if g.moved == nil {
		g.moved = make(chan struct{})
	}
	return g.moved
}

// wake ends the waits that began before something moved.
func (g *Guard) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wakeLocked()
}

func (g *Guard) wakeLocked() {
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
}
