package policy

import (
	"sync"
	"time"
)

// Purse is one worker's share of a Budget, while it works: calls reserve from its advance the most
// they can use, and give back what they did not. It is safe for concurrent use. The zero Purse
// has nothing in it.
type Purse struct {
	mu       sync.Mutex
	limit    Spend // tells which kinds count
	held     Spend // of the advance, and not reserved
	reserved Spend
	lately   Spend // reserved since the last Settled
	tally    Tally
	moved    chan struct{} // closed when something comes in; nil while nobody waits
}

// Reserve takes a call's worst out of the advance, or returns what is missing to do so, and a
// channel that is closed when more has come in.
func (p *Purse) Reserve(worst Spend) (missing Spend, moved <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit == (Spend{}) || overdrawn(p.held.Minus(worst), p.limit) {
		if p.moved == nil {
			p.moved = make(chan struct{})
		}
		return worst.Minus(p.held).positive(), p.moved, false
	}
	p.held = p.held.Minus(worst)
	p.reserved = p.reserved.Plus(worst)
	p.lately = p.lately.Plus(worst)
	return Spend{}, nil, true
}

// Settle ends a reservation: used is what the call came to, and known says that the reply told.
func (p *Purse) Settle(worst, used Spend, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved = p.reserved.Minus(worst)
	p.held = p.held.Plus(worst.Minus(used))
	if used != (Spend{}) {
		p.tally.Calls++
		if !known {
			p.tally.Unknown++
		}
	}
	p.tally.Spent = p.tally.Spent.Plus(used)
	p.wake()
}

// Waste notes that what a settled call used bought no answer.
func (p *Purse) Waste(used Spend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.Wasted = p.tally.Wasted.Plus(used)
}

// Share is what is to be written down of the purse.
func (p *Purse) Share(now time.Time) Share {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Share{Tally: p.tally, Advance: p.held.Plus(p.reserved).Of(p.limit).positive(), At: now.UTC()}
}

// Fill puts in what a Grant added, under the limit as it was then.
func (p *Purse) Fill(granted, limit Spend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// What was not limited before was not granted either.
	p.held = p.held.Of(p.limit).Plus(granted)
	p.limit = limit
	p.wake()
}

// Trim gives back what of the advance is more than was reserved since the last Trim: others may
// need it. It says whether there is anything to write down.
func (p *Purse) Trim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.held
	p.held = Spend{min(p.held.Money, p.lately.Money), min(p.held.Tokens, p.lately.Tokens)}
	busy := p.lately != (Spend{}) || p.held != before
	p.lately = Spend{}
	return busy
}

func (p *Purse) wake() {
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}
