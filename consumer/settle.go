package consumer

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"nightshift/policy"
)

// outcome is what becomes of a delivery.
type outcome uint8

const (
	proceed  outcome = iota // not settled: a call is needed
	answered                // the answer is stored, the job leaves the queue
	ended                   // it had ended before: it only leaves the queue
	dead                    // it becomes a dead letter
	later                   // it comes again after a delay, with its history
	early                   // it came before its time: it waits for the rest
	returned                // this worker is leaving: another may have it at once
)

func (o outcome) String() string {
	return [...]string{"proceed", "answered", "ended", "dead", "later", "early", "returned"}[o]
}

func outcomeOf(d policy.Decision) outcome {
	if d.Outcome == policy.Dead {
		return dead
	}
	return later
}

// settle puts the job where the outcome says and tells the broker only when that is stored.
// When the store cannot be reached the job stays unacknowledged: its lease runs out and it
// comes again.
func (c *Consumer) settle(d *delivery, o outcome, f *policy.Fault, r *policy.Result, dec policy.Decision) {
	ctx, cancel := context.WithTimeout(context.Background(), c.c.AckWait)
	defer cancel()
	var err error
	switch o {
	case answered:
		err = c.storeAnswer(ctx, d, r)
	case dead:
		err = c.bury(ctx, d, f, r, dec)
	case later:
		err = c.postpone(ctx, d, r, dec)
	case ended:
		err = c.ack(ctx, d)
	case early:
		err = c.nak(d, time.Until(d.history.Until))
	case returned:
		err = c.nak(d, 0)
	case proceed:
	}
	c.stats.settled(o, f)
	c.log(d, o, f, err)
}

func (c *Consumer) storeAnswer(ctx context.Context, d *delivery, r *policy.Result) error {
	meta := c.meta(d, r)
	a := policy.ReadAnswer(r.Reply.Body)
	meta.Model, meta.FinishReason = a.Model, a.FinishReason
	meta.InputTokens, meta.OutputTokens = a.InputTokens, a.OutputTokens
	meta.LatencyMS = r.Reply.Latency.Milliseconds()
	line := answerLine(&d.job, d.id, policy.RequestID(r.Reply.Header), oneLine(r.Reply.Body))
	m, err := newEnding(d.job.Batch, d.job.Key, endingAnswer, meta, line)
	if err != nil {
		return err
	}
	switch err := c.putEnding(ctx, d, m); {
	case errors.Is(err, errEnded):
		c.stats.doubled.Add(1)
	case err != nil:
		return err
	}
	c.stats.tokens(meta.InputTokens, meta.OutputTokens)
	c.forget(ctx, d)
	return c.ack(ctx, d)
}

// oneLine takes the line breaks out of JSON; inside its strings there can be none.
func oneLine(body []byte) []byte {
	if bytes.IndexByte(body, '\n') < 0 && bytes.IndexByte(body, '\r') < 0 {
		return body
	}
	v := jsontext.Value(bytes.Clone(body))
	if v.Compact() != nil { // it was JSON when it was classified
		return body
	}
	return v
}

// putEnding stores the ending unless another is there; errEnded then. The broker may have
// stored it and its word may have been lost: what is found there is ours if it bears our call.
func (c *Consumer) putEnding(ctx context.Context, d *delivery, m *nats.Msg) error {
	for {
		err := c.answer.put(ctx, m)
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			e, lookErr := c.store.Ending(ctx, d.job.Batch, d.job.Key)
			if lookErr == nil && e.Meta.Call == d.id {
				return nil
			}
			return err
		}
		// An answer is paid for: try as long as the lease lasts.
		if !sleep(ctx, time.Second) {
			return err
		}
	}
}

// bury makes the job a dead letter: first the ending, then the entry, then the broker is told.
func (c *Consumer) bury(ctx context.Context, d *delivery, f *policy.Fault, r *policy.Result, dec policy.Decision) error {
	letter := c.letter(d, f, r, dec)
	meta := c.meta(d, r)
	meta.Class = letter.Class
	marker, err := newEnding(d.job.Batch, d.job.Key, endingDead, meta, nil)
	if err != nil {
		return err
	}
	if err := c.putEnding(ctx, d, marker); errors.Is(err, errEnded) {
		if e, err := c.store.Ending(ctx, d.job.Batch, d.job.Key); err != nil || !e.Dead {
			return errors.Join(err, c.ackIf(ctx, d, err == nil))
		}
	} else if err != nil {
		return err
	}
	entry, err := letter.message(d.msg)
	if err != nil {
		return err
	}
	if err := c.dead.put(ctx, entry); err != nil {
		return err
	}
	c.forget(ctx, d)
	c.leases.drop(d.lease)
	return d.msg.TermWithReason(string(letter.Class))
}

func (c *Consumer) ackIf(ctx context.Context, d *delivery, yes bool) error {
	if !yes {
		return nil
	}
	return c.ack(ctx, d)
}

// postpone writes the history and hands the job back until its time.
func (c *Consumer) postpone(ctx context.Context, d *delivery, r *policy.Result, dec policy.Decision) error {
	delay := policy.Jitter(max(dec.Delay, time.Until(d.queue.guard.State().Until)))
	h := &d.history
	h.Add(*r, dec, d.received)
	h.Deliveries, h.Resets = d.meta.NumDelivered, d.resets
	h.Until = time.Now().Add(delay)
	if err := c.store.putHistory(ctx, d.job.Batch, d.job.Key, *h); err != nil {
		return err
	}
	return c.nak(d, delay)
}

func (c *Consumer) ack(ctx context.Context, d *delivery) error {
	c.leases.drop(d.lease)
	return d.msg.DoubleAck(ctx)
}

// nak hands the job back, unless its lease was lost: another worker may have it, and the
// broker would deliver it once more.
func (c *Consumer) nak(d *delivery, delay time.Duration) error {
	if c.leases.drop(d.lease) {
		return nil
	}
	if delay <= 0 {
		return d.msg.Nak()
	}
	return d.msg.NakWithDelay(delay)
}

// forget removes the history of a job that has ended. It is a tidying: what stays ages out.
func (c *Consumer) forget(ctx context.Context, d *delivery) {
	if d.history.Deliveries == 0 { // none was ever written
		return
	}
	if err := c.store.dropHistory(ctx, d.job.Batch, d.job.Key); err != nil {
		c.c.Log.Debug().Err(err).Str("job", d.job.Key).Msg("history of an ended job stays until it ages out")
	}
}

func (c *Consumer) meta(d *delivery, r *policy.Result) *Meta {
	m := &Meta{
		Call: d.id, Queue: d.queue.Name, Provider: d.queue.Account, Worker: c.c.Worker,
		Calls: d.history.Calls, Again: d.crashes, Waits: d.history.Waits,
	}
	if r != nil {
		m.Calls += r.Calls
	}
	return m
}

// log writes the one line of a settled job: what it was and what became of it, never what it
// said.
func (c *Consumer) log(d *delivery, o outcome, f *policy.Fault, err error) {
	e := c.c.Log.Debug()
	switch {
	case err != nil:
		e = c.c.Log.Error().Err(err)
	case o == dead:
		e = c.c.Log.Info()
	}
	e = e.Str("job", d.job.Key).Str("batch", d.job.Batch).Str("queue", d.queue.Name).Stringer("outcome", o).
		Uint64("delivery", d.meta.NumDelivered).Dur("took_ms", time.Since(d.received))
	if f != nil {
		e = e.Str("class", string(f.Class)).Int("status", f.Status).Str("code", f.Code).Str("rule", f.Rule)
	}
	e.Msg("job settled")
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
