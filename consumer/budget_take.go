package consumer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"nightshift/policy"
)

// budgets are those that this worker has met, by key. A batch without one is known too, so that its
// jobs cost no more than a look into a map.
type budgets struct {
	mu   sync.Mutex
	open map[string]*budget // nil for none
}

// budget is this worker's share of one, and where it is written down. The store is not written for
// each call: an advance lasts for many, and what they used is written every second.
type budget struct {
	policy.Purse
	key   string
	scope PauseScope
	name  string

	mu      sync.Mutex // one exchange with the store at a time
	written policy.Share
	short   time.Time // no exchange before it: the last one found nothing
}

// Where a reservation stands.
type verdict uint8

const (
	granted   verdict = iota
	short             // others may give back what is missing
	exhausted         // nobody will
)

// settleEvery is how often what was used is written down, and what nobody needs is given back.
const settleEvery = time.Second

// shortWait is how often a worker asks whether others have given back.
const shortWait = 200 * time.Millisecond

// budgetOf finds the budget of a batch. A batch is looked up once: whoever limits it later is heard
// of by the watch of FLEET.
func (c *Consumer) budgetOf(ctx context.Context, scope PauseScope, name string) (*budget, error) {
	key := budgetKey(scope, name)
	c.budgets.mu.Lock()
	b, known := c.budgets.open[key]
	c.budgets.mu.Unlock()
	if known {
		return b, nil
	}
	_, _, err := c.store.readBudget(ctx, key)
	if err != nil && !errors.Is(err, ErrNoBudget) {
		return nil, err
	}
	return c.budgets.add(key, err == nil), nil
}

// add notes that a key has a budget, or none as far as is known.
func (s *budgets) add(key string, there bool) *budget {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]*budget{}
	}
	b := s.open[key]
	if b == nil && there {
		scope, name, _ := strings.Cut(strings.TrimPrefix(key, budgetPrefix), ".")
		b = &budget{key: key, scope: PauseScope(scope), name: name}
	}
	s.open[key] = b
	return b
}

func (s *budgets) all() (all []*budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.open {
		if b != nil {
			all = append(all, b)
		}
	}
	return all
}

// take reserves for one call the most it can use. Where the advance is used up it asks the store
// for more.
func (c *Consumer) take(ctx context.Context, b *budget, worst policy.Spend) (verdict, <-chan struct{}, error) {
	if _, _, ok := b.Reserve(worst); ok {
		return granted, nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		missing, moved, ok := b.Reserve(worst) // another call may have fetched it
		if ok {
			return granted, nil, nil
		}
		if time.Now().Before(b.short) {
			return short, moved, nil
		}
		v, err := c.advance(ctx, b, missing, worst)
		if err != nil || v == exhausted {
			return v, moved, err
		}
		if v == short {
			b.short = time.Now().Add(shortWait)
			return short, moved, nil
		}
	}
}

// errShort ends a change of a budget that has not enough.
var errShort = errors.New("not enough")

// advance asks the store for more; b.mu is held.
func (c *Consumer) advance(ctx context.Context, b *budget, missing, worst policy.Spend) (verdict, error) {
	var share policy.Share
	var more policy.Spend
	record, err := c.store.changeBudget(ctx, b.key, func(r *policy.Budget) error {
		var ok bool
		share = b.Share(time.Now())
		if more, ok = r.Grant(c.c.Worker, share, missing); !ok {
			return errShort
		}
		return nil
	})
	if err == nil {
		b.written = record.Workers[c.c.Worker]
		b.Fill(more, record.Cap)
		return granted, nil
	}
	if !errors.Is(err, errShort) {
		return short, err
	}
	dead, err := c.store.BudgetDead(ctx)
	if err != nil || !record.Exhausted(worst, dead) {
		return short, err
	}
	return exhausted, c.holdBudget(ctx, b, record.Cap, ReasonBudget)
}

// holdBudget pauses the batch or the queue: its jobs stay where they are. Whoever raises the limit
// lifts the pause, and may have done so in the moment before it is written.
func (c *Consumer) holdBudget(ctx context.Context, b *budget, limit policy.Spend, reason string) error {
	if c.pauses.stands(b.scope, b.name) {
		return nil
	}
	c.c.Log.Warn().Str(string(b.scope), b.name).Str("reason", reason).Msg("paused by its budget, every job is kept")
	if err := c.store.Pause(ctx, Pause{Scope: b.scope, Name: b.name, Reason: reason}); err != nil {
		return err
	}
	now, err := c.store.Budget(ctx, b.scope, b.name)
	if err == nil && now.Cap != limit {
		err = c.store.LiftBudget(ctx, b.scope, b.name)
	}
	return err
}

// OutOfBudget says whether a batch or its queue is paused by a budget, as far as this worker has
// heard. It asks nobody.
func (c *Consumer) OutOfBudget(batch, queue string) bool {
	c.pauses.mu.Lock()
	defer c.pauses.mu.Unlock()
	for _, key := range []string{pauseKey(PauseBatch, batch), pauseKey(PauseQueue, queue)} {
		if p, ok := c.pauses.all[key]; ok && OfBudget(p) {
			return true
		}
	}
	return false
}

// stands says whether this worker knows of a pause already.
func (p *pauses) stands(scope PauseScope, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause, ok := p.all[pauseKey(scope, name)]
	return ok && pause.Active(time.Now())
}
