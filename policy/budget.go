package policy

import (
	"errors"
	"time"
)

// Spend is what calls use: money and tokens. In a limit, zero means that it has none of the kind.
type Spend struct {
	Money  Money `json:"nano_usd,omitempty"`
	Tokens int64 `json:"tokens,omitempty"`
}

// Plus adds both.
func (a Spend) Plus(b Spend) Spend { return Spend{a.Money + b.Money, a.Tokens + b.Tokens} }

// Minus takes b away from a.
func (a Spend) Minus(b Spend) Spend { return Spend{a.Money - b.Money, a.Tokens - b.Tokens} }

// Of is the part of the amount that a limit counts.
func (a Spend) Of(limit Spend) Spend {
	if limit.Money == 0 {
		a.Money = 0
	}
	if limit.Tokens == 0 {
		a.Tokens = 0
	}
	return a
}

// covers says whether need can be taken out of a.
func (a Spend) covers(need Spend) bool { return need.Money <= a.Money && need.Tokens <= a.Tokens }

func (a Spend) positive() Spend { return Spend{max(a.Money, 0), max(a.Tokens, 0)} }

func (a Spend) atLeast(b Spend) Spend { return Spend{max(a.Money, b.Money), max(a.Tokens, b.Tokens)} }

// Tally is what calls came to.
type Tally struct {
	// Spent is what they used, Wasted the part of it that calls without an answer did.
	Spent  Spend `json:"spent"`
	Wasted Spend `json:"wasted"`
	// Calls counts those that cost something, Unknown those among them that did not say what:
	// they stand in Spent and Wasted with the most they can have used.
	Calls   int64 `json:"calls"`
	Unknown int64 `json:"unknown,omitempty"`
}

// Plus adds two tallies.
func (t Tally) Plus(u Tally) Tally {
	return Tally{t.Spent.Plus(u.Spent), t.Wasted.Plus(u.Wasted), t.Calls + u.Calls, t.Unknown + u.Unknown}
}

// Share is one worker's part of a budget: what it has used, and what it may still use without
// asking.
type Share struct {
	Tally
	Advance Spend     `json:"advance"`
	At      time.Time `json:"at"`
}

// Budget is a limit on what calls may use, and who has used how much of it. Each worker writes its
// own share, whole, so that a write of which it never learns whether it was stored can be repeated.
//
// The limit holds because no advance is given beyond it: what was spent and what is advanced are
// never more than Cap together. What a worker does with its advance needs no word with the others,
// and what it had when it died counts as spent.
type Budget struct {
	Cap Spend `json:"cap"`
	// Gone is what workers used that have left.
	Gone    Tally            `json:"gone"`
	Workers map[string]Share `json:"workers,omitempty"`
}

// ErrBelowSpent says that a limit would be below what is spent already, or given to workers in
// advance.
var ErrBelowSpent = errors.New("less than what is spent already")

// Used is what all workers used, as they said last.
func (b Budget) Used() Tally {
	t := b.Gone
	for _, s := range b.Workers {
		t = t.Plus(s.Tally)
	}
	return t
}

// Advanced is what workers have and have not used yet; dead tells of which workers only, nil of all.
func (b Budget) Advanced(dead func(worker string, s Share) bool) (a Spend) {
	for name, s := range b.Workers {
		if dead == nil || dead(name, s) {
			a = a.Plus(s.Advance)
		}
	}
	return a
}

// Exhausted says whether a call that may need so much can never be made under the limit: what
// workers that live give back will not do.
func (b Budget) Exhausted(need Spend, dead func(string, Share) bool) bool {
	return overdrawn(b.Cap.Minus(b.Used().Spent.Plus(b.Advanced(dead))).Minus(need), b.Cap)
}

// overdrawn says whether an amount is below zero where the limit counts.
func overdrawn(left, limit Spend) bool {
	return limit.Money > 0 && left.Money < 0 || limit.Tokens > 0 && left.Tokens < 0
}

// advanceShare is the part of what is free that a worker may have in advance: many calls' worth
// while there is much, and little where a worker that dies would take much with it.
const advanceShare = 20

// Grant writes down a worker's share and adds to its advance at least need, if that much is free.
// It returns what was added; false when it was nothing for lack of money.
func (b *Budget) Grant(worker string, own Share, need Spend) (Spend, bool) {
	b.Put(worker, own)
	free := b.Cap.Minus(b.Used().Spent.Plus(b.Advanced(nil))).Of(b.Cap).positive()
	need = need.Of(b.Cap)
	if !free.covers(need) {
		return Spend{}, false
	}
	part := Spend{free.Money / advanceShare, free.Tokens / advanceShare}
	granted := need.atLeast(part)
	own.Advance = own.Advance.Plus(granted)
	b.Put(worker, own)
	return granted, true
}

// Put writes down a worker's share.
func (b *Budget) Put(worker string, own Share) {
	if b.Workers == nil {
		b.Workers = map[string]Share{}
	}
	b.Workers[worker] = own
}

// Leave moves what a worker used to what is gone, once; its advance is free again.
func (b *Budget) Leave(worker string, own Tally) {
	if _, there := b.Workers[worker]; !there { // an earlier write was stored after all
		return
	}
	delete(b.Workers, worker)
	b.Gone = b.Gone.Plus(own)
}

// Raise sets the limit, up or down, but not below what is spent: ErrBelowSpent. A part that is
// zero stays as it is.
func (b *Budget) Raise(limit Spend) error {
	next := b.Cap
	if limit.Money > 0 {
		next.Money = limit.Money
	}
	if limit.Tokens > 0 {
		next.Tokens = limit.Tokens
	}
	if used := b.Used().Spent.Plus(b.Advanced(nil)); overdrawn(next.Minus(used), next) {
		return ErrBelowSpent
	}
	b.Cap = next
	return nil
}
