package consumer

import (
	"context"
	"errors"
	"time"

	"nightshift/policy"
)

// handBack gives the job back without a verdict, after a shutdown or for lack of a slot. That is
// written down too, lest it pass for a crash.
func (c *Consumer) handBack(ctx context.Context, d *delivery, r *policy.Result, delay time.Duration) error {
	if c.leases.drop(d.lease) {
		return nil // what there is to say of it is another's now
	}
	var err error
	if !d.unread {
		h := &d.history
		if r != nil {
			h.Calls += r.Calls
			h.Attempts = append(h.Attempts, r.Attempts...)
		}
		h.Deliveries, h.Resets, h.Alone = d.meta.NumDelivered, d.resets, 0
		err = c.store.putHistory(ctx, d.job.Batch, d.job.Key, *h)
	}
	return errors.Join(err, c.nak(d, delay))
}

func (c *Consumer) ack(ctx context.Context, d *delivery) error {
	c.leases.drop(d.lease)
	if c.remove != nil {
		c.remove.add(c.leases.message(d.lease), d.meta.Sequence.Stream)
		return nil
	}
	var err error
	for range ackTries {
		// The ack may be lost with the connection, and a broker that was killed may not know
		// the delivery and does not reply: the job then comes again and has ended.
		try, cancel := context.WithTimeout(ctx, ackWait)
		err = c.leases.message(d.lease).DoubleAck(try)
		cancel()
		if err == nil {
			break
		}
	}
	return err
}

// ackWait bounds the wait for the broker's reply to an ack.
const (
	ackWait  = 3 * time.Second
	ackTries = 3
)

// nak hands the job back, unless its lease was lost: another worker may have it, and the
// broker would deliver it once more.
func (c *Consumer) nak(d *delivery, delay time.Duration) error {
	if c.leases.drop(d.lease) {
		return nil
	}
	if delay <= 0 {
		return c.leases.message(d.lease).Nak()
	}
	return c.leases.message(d.lease).NakWithDelay(delay)
}

// forget removes the history of a job that has ended. It is a tidying: what stays ages out.
func (c *Consumer) forget(ctx context.Context, d *delivery) {
	if d.history.Deliveries == 0 && d.history.Alone == 0 { // none was ever written
		return
	}
	if err := c.store.dropHistory(ctx, d.job.Batch, d.job.Key); err != nil {
		c.c.Log.Debug().Err(err).Str("job", d.job.Key).Msg("history of an ended job stays until it ages out")
	}
}
