package consumer

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// settleBudgets writes down every second what was used, until ctx ends, and leaves then.
func (c *Consumer) settleBudgets(ctx context.Context) {
	for sleep(ctx, settleEvery) {
		for _, b := range c.budgets.all() {
			if err := c.settleBudget(ctx, b); err != nil && ctx.Err() == nil {
				c.c.Log.Warn().Err(err).Str(string(b.scope), b.name).Msg("what was spent is written down later")
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellWait)
	defer cancel()
	for _, b := range c.budgets.all() {
		_, err := c.store.changeBudget(ctx, b.key, func(r *policy.Budget) error {
			r.Leave(c.c.Worker, b.Share(time.Now()).Tally)
			return nil
		})
		if err != nil {
			c.c.Log.Warn().Err(err).Str(string(b.scope), b.name).Msg("what was advanced counts as spent")
		}
	}
}

func (c *Consumer) settleBudget(ctx context.Context, b *budget) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Trim()
	share := b.Share(time.Now())
	if share.Tally == b.written.Tally && share.Advance == b.written.Advance {
		return nil
	}
	_, err := c.store.changeBudget(ctx, b.key, func(r *policy.Budget) error {
		share = b.Share(time.Now())
		r.Put(c.c.Worker, share)
		return nil
	})
	if err == nil {
		b.written = share
	}
	return err
}

// apply hears of a limit that is set on a batch met already.
func (s *budgets) apply(e jetstream.KeyValueEntry) {
	if e.Operation() == jetstream.KeyValuePut {
		s.add(e.Key(), true)
	}
}

// limitQueues writes down what the queues of this worker may use. The configuration has the say: a
// limit below what is spent holds the queue.
func (c *Consumer) limitQueues(ctx context.Context) error {
	for _, q := range c.queues {
		if q.Budget == (policy.Spend{}) {
			continue
		}
		moved := false
		key := budgetKey(PauseQueue, q.Name)
		_, err := c.store.changeBudget(ctx, key, func(b *policy.Budget) error {
			moved, b.Cap = b.Cap != q.Budget, q.Budget
			return nil
		})
		if err == nil && moved {
			err = c.store.LiftBudget(ctx, PauseQueue, q.Name)
		}
		if err != nil {
			return err
		}
		c.budgets.add(key, true)
	}
	return nil
}
