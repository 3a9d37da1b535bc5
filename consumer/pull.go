package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxFetch bounds one request for jobs, so that a large window starts calling while the
	// next jobs are on their way.
	maxFetch = 512
	// fetchWait bounds how long slots stay reserved for a queue that holds fewer jobs than
	// were asked for.
	fetchWait = 300 * time.Millisecond
	// idleWait bounds one look at an empty queue. Every wait is bounded: a lost wake-up
	// must not stop the night.
	idleWait = time.Second
	// errorWait is the pause after the broker failed us.
	errorWait = time.Second
)

// pull takes jobs of one queue, never more than the guard has slots for, so that no job
// waits for a slot while its lease runs.
func (c *Consumer) pull(ctx, calls context.Context, q *queue) error {
	for ctx.Err() == nil {
		slots, err := q.guard.Take(ctx, maxFetch)
		if err != nil {
			return nil //nolint:nilerr // the context ended: that is how a shutdown begins
		}
		got, err := c.fetch(ctx, calls, q, slots, fetchWait)
		if err == nil && got == 0 && ctx.Err() == nil {
			err = c.idle(ctx, calls, q)
		}
		if err := c.pullError(ctx, q, err); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks for as many jobs as there are slots and starts each as it comes. Slots that got
// no job are given back.
func (c *Consumer) fetch(ctx, calls context.Context, q *queue, slots int, wait time.Duration) (got int, err error) {
	defer func() { q.guard.Give(slots - got) }()
	select {
	case q.room <- struct{}{}: // at least one may be pulled
		<-q.room
	case <-ctx.Done():
		return 0, nil
	}
	batch, err := q.consumer.Fetch(slots, jetstream.FetchMaxWait(wait))
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		got++
		c.start(ctx, calls, q, m)
	}
	return got, batch.Error()
}

// idle looks at an empty queue without keeping a slot from other queues; a job that comes
// takes one then.
func (c *Consumer) idle(ctx, calls context.Context, q *queue) error {
	batch, err := q.consumer.Fetch(1, jetstream.FetchMaxWait(idleWait))
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		if q.guard.TryTake(1) == 0 {
			c.decline(calls, q, m)
			continue
		}
		c.start(ctx, calls, q, m)
	}
	return batch.Error()
}

// start delivers in a goroutine of its own, once there is room. At a shutdown it waits for
// none, so that the pulling ends before the calls do.
func (c *Consumer) start(ctx, calls context.Context, q *queue, m jetstream.Msg) {
	c.note(calls, q, m)
	leave := func() { <-q.room }
	select {
	case q.room <- struct{}{}:
	case <-ctx.Done():
		leave = func() {}
	}
	c.jobs.Go(func() {
		defer leave()
		c.deliver(calls, q, m)
	})
}

// pullError says whether an error ends the pulling: the connection was closed for good. Any
// other is the broker's and passes; the durable consumer is looked up anew, as it may have
// been removed.
func (c *Consumer) pullError(ctx context.Context, q *queue, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) {
		return nil //nolint:nilerr // it passes by itself
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return err
	}
	c.c.Log.Warn().Err(err).Str("queue", q.Name).Msg("cannot pull, trying again")
	if !sleep(ctx, errorWait) {
		return nil
	}
	if fresh, err := c.durable(ctx, q.Name); err == nil {
		q.consumer = fresh
	}
	return nil
}
