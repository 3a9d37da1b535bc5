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
	lane     *lane
	msg      jetstream.Msg
	meta     *jetstream.MsgMetadata
	job      producer.Job
	lease    *lease
	history  policy.History
	resets   int  // how often a restarted broker found it in hand
	crashes  int  // deliveries that ended without an outcome
	unread   bool // the broker could not tell the history: it must not be written over
	id       string
	received time.Time
	by       route        // which was asked last
	edit     policy.Edit  // with which it was
	aside    bool         // a fallback is there for what its own provider said
	bills    []*bill      // of its calls, where anybody counts
	wasted   policy.Money // on calls of this delivery without an answer
	kept     *Meta        // of its answer, when that is stored
}

// deliver is the whole life of a job in this process: decode it, see whether it needs a call
// at all, ask the provider, decide what the reply means, and settle. It holds one slot of
// the guard, which Do or Give returns, and says whether the provider answered.
func (c *Consumer) deliver(ctx context.Context, q *lane, m jetstream.Msg, by route) bool {
	d, err := c.receive(q, m)
	if err != nil {
		by.guard.Give(1)
		c.c.Log.Error().Err(err).Str("queue", q.Name).Msg("a message that is no delivery")
		return false
	}
	if c.leases.adopt(m, d.meta.Sequence.Stream) {
		by.guard.Give(1)
		return false
	}
	ctx, ours, drop := c.takeUp(ctx, d)
	defer drop()

	outcome, fault := c.needless(ctx, d)
	if outcome == proceed {
		var leave func()
		outcome, leave = c.isolate(ctx, d)
		defer leave()
	}
	if outcome != proceed {
		by.guard.Give(1)
		c.settle(ours, d, outcome, fault, nil, policy.Decision{})
		return false
	}
	r := c.ask(ctx, d, by)
	switch {
	case r.Cancelled:
		c.settle(ours, d, d.back(), nil, &r.Result, policy.Decision{})
	case r.Fault == nil:
		c.settle(ours, d, answered, nil, &r.Result, policy.Decision{})
	default:
		c.settle(ours, d, outcomeOf(r.decision), r.fault, &r.Result, r.decision)
	}
	heard := r.Fault == nil || r.Fault.Class == policy.Truncated
	return !r.Cancelled && heard && d.by.account == q.Account
}

// takeUp begins the lease of a job. The first context ends when that is lost; in the second, which
// ends a lease later, the job is settled.
func (c *Consumer) takeUp(ctx context.Context, d *delivery) (held, ours context.Context, drop func()) {
	held, d.lease = c.leases.hold(ctx, d.msg, d.meta.Sequence.Stream)
	ours, done := producer.Outlast(held, c.c.AckWait)
	return held, ours, func() {
		done()
		c.leases.drop(d.lease)
	}
}

// decline hands back a job that came when there was no slot for it.
func (c *Consumer) decline(ctx context.Context, q *lane, m jetstream.Msg) {
	d, err := c.receive(q, m)
	if err != nil {
		c.c.Log.Error().Err(err).Str("queue", q.Name).Msg("a message that is no delivery")
		return
	}
	if c.leases.adopt(m, d.meta.Sequence.Stream) {
		return
	}
	ctx, ours, drop := c.takeUp(ctx, d)
	defer drop()
	outcome, fault := c.needless(ctx, d)
	if outcome == proceed {
		outcome = returned
		if s := q.guard.State(); s.Hold == nil && s.Until.After(time.Now()) {
			// Until then no worker has a slot.
			outcome, d.history.Until = early, time.Now().Add(min(time.Until(s.Until), longestRest))
		}
	}
	c.settle(ours, d, outcome, fault, nil, policy.Decision{})
}

// receive decodes the message. A job that cannot be decoded is a delivery too: it keeps the
// error as its fault until needless buries it.
func (c *Consumer) receive(q *lane, m jetstream.Msg) (*delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	return &delivery{
		queue: q.queue, lane: q, msg: m, meta: meta, id: nuid.Next(), received: time.Now(),
		resets: q.resets[meta.Sequence.Stream],
	}, nil
}

// needless finds out whether the job can be settled without a call, and why.
func (c *Consumer) needless(ctx context.Context, d *delivery) (outcome, *policy.Fault) {
	var err error
	d.job, err = d.queue.decode(d.msg, d.meta.Sequence.Stream, d.meta.Timestamp)
	if c.seenBefore(d) {
		if o, f := c.recall(ctx, d); o != proceed {
			return o, f
		}
	}
	now := time.Now()
	switch {
	case c.cancels.has(d):
		return ended, nil
	case err != nil:
		return dead, &policy.Fault{Class: policy.Malformed, Rule: "decode", Message: err.Error()}
	case d.queue.guard.TooLate(d.job.Deadline):
		return dead, &policy.Fault{Class: policy.Expired, Rule: "deadline"}
	case c.guilty(d):
		return dead, &policy.Fault{Class: policy.CrashLoop, Rule: "crash limit"}
	case now.Before(d.history.Until):
		return early, nil
	}
	return proceed, nil
}

// seenBefore says whether another delivery may have worked on the job. A broker that was killed
// forgets its latest deliveries, so after a reconnect none is known to be the first.
func (c *Consumer) seenBefore(d *delivery) bool {
	return d.meta.NumDelivered > 1 || c.js.Conn().Stats().Reconnects > 0 || d.meta.Sequence.Stream <= d.lane.lookBelow ||
		d.msg.Headers().Get(producer.HeaderLook) != ""
}

// recall reads what earlier deliveries left: an ending, or the history so far. While the broker
// cannot tell, the job waits here: handed back at once it would only go in circles, and every
// round would pass for a crash.
func (c *Consumer) recall(ctx context.Context, d *delivery) (outcome, *policy.Fault) {
	for tries := 1; ; tries++ {
		o, f, err := c.look(ctx, d)
		if err == nil {
			return o, f
		}
		if tries == recallTries || !sleep(ctx, errorWait) {
			c.c.Log.Warn().Err(err).Str("job", d.job.Key).Msg("cannot tell whether the job has ended")
			d.unread = true
			return returned, nil
		}
	}
}

// recallTries bounds how long a job waits for a broker that cannot tell what became of it.
const recallTries = 20

func (c *Consumer) look(ctx context.Context, d *delivery) (outcome, *policy.Fault, error) {
	e, err := c.store.Ending(ctx, d.job.Batch, d.job.Key)
	open := errors.Is(err, ErrNoEnding)
	switch {
	case err == nil && !e.Dead:
		return ended, nil, nil
	case err != nil && !open:
		return proceed, nil, err
	}
	d.history, err = c.store.History(ctx, d.job.Batch, d.job.Key)
	d.crashes = max(d.history.Crashes(d.meta.NumDelivered, d.resets), 0)
	if err != nil || open {
		return proceed, nil, err
	}
	there, err := c.store.hasDead(ctx, d.job.Batch, e)
	if err != nil || there {
		return ended, nil, err
	}
	return dead, entryMissing(e), nil
}

// entryMissing stands for the fault of a dead job whose marker stands without its entry:
// whoever wrote the marker died between the two.
func entryMissing(marker Ending) *policy.Fault {
	m := marker.Meta
	return &policy.Fault{Class: m.Class, Status: m.Status, Code: m.Code, Rule: "entry missing"}
}
