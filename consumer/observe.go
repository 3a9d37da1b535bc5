package consumer

import (
	"context"
	"fmt"
	"time"

	"nightshift/policy"
)

// Observer is told what a worker does as it happens. It hears no word of a prompt or an answer.
// Many goroutines call it at once, and wait for it.
type Observer interface {
	// Called is told of each call that came to an end: what it was, or "" for an answer, and how
	// long it took.
	Called(account string, class policy.Class, took time.Duration)
	// Settled is told of each delivery when the store knows what became of it.
	Settled(s Settled)
}

// Settlement is what became of a delivery.
type Settlement string

// The settlements. Of those that are no ending the job comes again.
const (
	// SettledAnswered: its answer is stored. SettledDead: it is a dead letter.
	SettledAnswered Settlement = "answered"
	SettledDead     Settlement = "dead"
	// SettledCancelled: it left the queue without a call, as its batch was cancelled.
	SettledCancelled Settlement = "cancelled"
	// SettledDuplicate: it had ended before and was not called again.
	SettledDuplicate Settlement = "duplicate"
	// SettledDoubled: it was called, and another worker's ending was there first.
	SettledDoubled Settlement = "doubled"
	// SettledLater: it waits for its next try. SettledReturned: another worker may have it at once.
	SettledLater    Settlement = "later"
	SettledReturned Settlement = "returned"
)

// Settled is a delivery and what became of it.
type Settled struct {
	Queue, Batch string
	// Account is the one that was asked last, the queue's own where none was.
	Account string
	Outcome Settlement
	// Class is that of a dead letter.
	Class policy.Class
	// InputTokens, OutputTokens and Cost are those of an answer; the cost is 0 where no price is
	// known. Wasted is what the calls of this delivery cost that gave no answer.
	InputTokens, OutputTokens int
	Cost, Wasted              policy.Money
}

// called tells the observer of the calls of one task.
func (c *Consumer) called(account string, r *policy.Result) {
	if c.c.Observer == nil {
		return
	}
	for i := range r.Attempts {
		c.c.Observer.Called(account, r.Attempts[i].Class, r.Attempts[i].Latency)
	}
	if r.Fault == nil && !r.Cancelled {
		c.c.Observer.Called(account, "", r.Reply.Latency)
	}
}

// settled tells the observer of a delivery. One that could not be settled comes again.
func (c *Consumer) settled(d *delivery, o outcome, f *policy.Fault, err error) {
	if c.c.Observer == nil || err != nil {
		return
	}
	s := Settled{Queue: d.queue.Name, Batch: d.job.Batch, Account: d.queue.Account, Outcome: c.settlement(d, o), Wasted: d.wasted}
	if d.by.account != "" {
		s.Account = d.by.account
	}
	if o == dead && f != nil {
		s.Class = f.Class
	}
	if d.kept != nil {
		s.InputTokens, s.OutputTokens = d.kept.InputTokens, d.kept.OutputTokens
		if d.kept.Cost != nil {
			s.Cost = *d.kept.Cost
		}
	}
	c.c.Observer.Settled(s)
}

func (c *Consumer) settlement(d *delivery, o outcome) Settlement {
	switch o {
	case answered:
		return SettledAnswered
	case dead:
		return SettledDead
	case later, early:
		return SettledLater
	case returned, proceed:
		return SettledReturned
	case ended:
	}
	switch {
	case d.by.account != "":
		return SettledDoubled
	case c.cancels.has(d):
		return SettledCancelled
	}
	return SettledDuplicate
}

// given counts the leases that were given up.
func (l *leases) given() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// DeadByClass counts the dead letters of all batches by class, without those that were discarded.
// A class that has none is left out.
func (s *Store) DeadByClass(ctx context.Context) (map[policy.Class]int, error) {
	byClass := map[policy.Class]int{}
	info, err := s.dead.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", DeadStream, err)
	}
	left := int(info.State.Msgs) //nolint:gosec // a count of messages fits
	for _, class := range policy.Classes() {
		if left <= 0 {
			break
		}
		n, err := count(ctx, s.dead, deadSubject("*", class, "*"))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			byClass[class] = n
			left -= n
		}
	}
	return byClass, nil
}
