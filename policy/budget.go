package policy

import (
	"errors"
	"time"
)

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
