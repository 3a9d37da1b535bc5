package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"nightshift/policy"
	"nightshift/producer"
)

// delivery is one hand-over of a job by the broker, from receipt to settlement.
type delivery struct {
	queue    *queue
	msg      jetstream.Msg
	meta     *jetstream.MsgMetadata
	job      producer.Job
	lease    *lease
	history  policy.History
	resets   int // how often a restarted broker found it in hand
	crashes  int // deliveries that ended without an outcome
	id       string
	received time.Time
}

// deliver is the whole life of a job in this process: decode it, see whether it needs a call
// at all, ask the provider, decide what the reply means, and settle. It holds one slot of
// the guard, which Do returns, or release.
func (c *Consumer) deliver(ctx context.Context, q *queue, m jetstream.Msg) {
	d, err := c.receive(q, m)
	if err != nil {
		q.guard.Give(1)
		c.c.Log.Error().Err(err).Str("queue", q.Name).Msg("a message that is no delivery")
		return
	}
	ctx, d.lease = c.leases.hold(ctx, m)
	defer c.leases.drop(d.lease)

	outcome, fault := c.needless(ctx, d)
	if outcome != proceed {
		q.guard.Give(1)
		c.settle(d, outcome, fault, nil, policy.Decision{})
		return
	}
	r := q.guard.Do(ctx, d.job.Key, q.Attempts-len(d.history.Attempts), func(ctx context.Context) policy.Reply {
		c.stats.calls.Add(1)
		return q.provider.Call(ctx, policy.Call{
			ID: d.job.Batch + "/" + d.job.Key, Path: d.job.URL, Body: d.job.Body,
		})
	})
	switch {
	case r.Cancelled:
		c.settle(d, returned, nil, &r, policy.Decision{})
	case r.Fault == nil:
		c.settle(d, answered, nil, &r, policy.Decision{})
	default:
		terms := policy.Terms{Attempts: q.Attempts, Deadline: d.job.Deadline}
		decision := policy.Decide(r.Fault, d.history, len(r.Attempts), r.Evidence, terms, time.Now())
		c.settle(d, outcomeOf(decision), r.Fault, &r, decision)
	}
}

// receive decodes the message. A job that cannot be decoded is a delivery too: it keeps the
// error as its fault until needless buries it.
func (c *Consumer) receive(q *queue, m jetstream.Msg) (*delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	return &delivery{
		queue: q, msg: m, meta: meta, id: nuid.Next(), received: time.Now(),
		resets: q.resets[meta.Sequence.Stream],
	}, nil
}

// needless finds out whether the job can be settled without a call, and why.
func (c *Consumer) needless(ctx context.Context, d *delivery) (outcome, *policy.Fault) {
	var err error
	d.job, err = producer.Decode(d.msg.Subject(), d.msg.Headers(), d.msg.Data(), d.meta.Sequence.Stream)
	if d.job.Batch == "" {
		d.job.Batch = producer.LooseBatch
	}
	if c.seenBefore(d) {
		if done, lookErr := c.recall(ctx, d); lookErr != nil {
			return returned, nil
		} else if done {
			return ended, nil
		}
	}
	now := time.Now()
	switch {
	case err != nil:
		return dead, &policy.Fault{Class: policy.Malformed, Rule: "decode", Message: err.Error()}
	case !d.job.Deadline.IsZero() && now.After(d.job.Deadline):
		return dead, &policy.Fault{Class: policy.Expired, Rule: "deadline"}
	case d.crashes >= c.c.CrashLimit:
		return dead, &policy.Fault{Class: policy.CrashLoop, Rule: "crash limit"}
	case now.Before(d.history.Until):
		return early, nil
	}
	return proceed, nil
}

// seenBefore says whether another delivery may have worked on the job.
func (c *Consumer) seenBefore(d *delivery) bool {
	return d.meta.NumDelivered > 1 || d.meta.Sequence.Stream <= d.queue.lookBelow ||
		d.msg.Headers().Get(producer.HeaderLook) != ""
}

// recall reads what earlier deliveries left: an ending, or the history so far.
func (c *Consumer) recall(ctx context.Context, d *delivery) (done bool, err error) {
	e, err := c.store.Ending(ctx, d.job.Batch, d.job.Key)
	switch {
	case err == nil && e.Dead:
		// The marker may stand without its entry: whoever wrote it may have died between.
		return c.store.hasDead(ctx, d.job.Batch, e)
	case err == nil:
		return true, nil
	case !errors.Is(err, ErrNoEnding):
		return false, err
	}
	d.history, err = c.store.History(ctx, d.job.Batch, d.job.Key)
	d.crashes = d.history.Crashes(d.meta.NumDelivered, d.resets)
	return false, err
}
