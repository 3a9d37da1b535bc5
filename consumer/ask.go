package consumer

import (
	"context"

	"nightshift/policy"
)

// route is one way to an answer.
type route struct {
	account  string
	provider Provider
	guard    *policy.Guard
}

// ask calls the queue's provider for the job, under its policies.
func (c *Consumer) ask(ctx context.Context, d *delivery) policy.Result {
	return c.askBy(ctx, d, route{d.queue.Account, d.queue.provider, d.queue.guard})
}

// askBy holds one slot of the route's guard, which it returns.
func (c *Consumer) askBy(ctx context.Context, d *delivery, by route) policy.Result {
	task := policy.Task{
		Key: d.job.Key, Allowed: d.queue.Attempts - len(d.history.Attempts),
		Call:     policy.Call{ID: d.job.Batch + "/" + d.job.Key, Path: d.job.URL, Body: d.job.Body},
		Timeouts: d.history.Timeouts(), Deadline: d.job.Deadline,
	}
	return by.guard.DoTask(ctx, task, func(ctx context.Context) policy.Reply {
		c.stats.calls.Add(1)
		return by.provider.Call(ctx, task.Call)
	})
}
