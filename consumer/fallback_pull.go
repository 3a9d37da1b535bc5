package consumer

import (
	"context"
	"time"

	"nightshift/policy"
)

// detourEvery is how often a worker looks whether the fallbacks have to take over a queue.
const detourEvery = 100 * time.Millisecond

// detour pulls the jobs of a queue for its fallbacks while its own provider can take none, until ctx
// ends: nobody else pulls them then. A provider that is held is left alone with its jobs: what holds
// it is for somebody to mend, and would only come up later.
func (c *Consumer) detour(ctx, calls context.Context, q *queue) {
	for sleep(ctx, detourEvery) {
		f := q.out()
		if f == nil {
			continue
		}
		for _, by := range q.fallbacks {
			if !by.Serves(f, policy.History{}, 0, time.Now()) {
				continue
			}
			for _, l := range c.lanes.of(q.Account) {
				if l.queue != q || !c.lanes.holds(l) || c.pauses.paused(l) || ctx.Err() != nil {
					continue
				}
				if err := c.fetchFor(ctx, calls, l, by); err != nil && ctx.Err() == nil {
					c.c.Log.Warn().Err(err).Str("queue", q.Name).Msg("cannot pull for the fallback, trying again")
				}
			}
		}
	}
}

// out is why the queue's own provider takes no job now, or few to see whether it takes more: its
// breaker is not closed, or its gate is shut. nil where it does, and while it is held.
func (q *queue) out() *policy.Fault {
	s := q.guard.State()
	wait := max(time.Until(s.Until), 0)
	switch {
	case s.Hold != nil:
		return nil
	case s.Breaker != "closed":
		return &policy.Fault{Class: policy.ServerError, Rule: "breaker open", RetryAfter: wait}
	case s.Reason == "rate limit":
		return &policy.Fault{Class: policy.RateLimited, Rule: "gate shut", RetryAfter: wait}
	}
	return nil
}

// fetchFor starts as many jobs of a lane as a fallback has slots for.
func (c *Consumer) fetchFor(ctx, calls context.Context, l *lane, by route) error {
	slots := by.guard.TryTake(maxFetch)
	if slots == 0 {
		return nil
	}
	got := 0
	defer func() { by.guard.Give(slots - got) }()
	batch, err := c.fetchJobs(l, slots, 0)
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		got++
		c.start(ctx, calls, l, m, by)
	}
	return batch.Error()
}
