package consumer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"nightshift/policy"
	"nightshift/producer"
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

// settle puts the job where the outcome says and tells the broker only when that is stored. While
// nothing can be stored an ending waits as long as ctx lasts, as it may be paid for. Then the job
// stays unacknowledged: its lease runs out and it comes again.
func (c *Consumer) settle(
	ctx context.Context, d *delivery, o outcome, f *policy.Fault, r *policy.Result, dec policy.Decision,
) {
	brief, cancel := context.WithTimeout(ctx, c.c.AckWait)
	defer cancel()
	var err error
	switch o {
	case answered:
		o, err = c.storeAnswer(ctx, d, r)
	case dead:
		o, err = c.bury(ctx, d, f, r, dec)
	case later:
		err = c.postpone(brief, d, r, dec)
	case ended:
		err = c.ack(brief, d)
	case early:
		err = c.handBack(brief, d, r, time.Until(d.history.Until))
	case returned:
		err = c.handBack(brief, d, r, 0)
	case proceed:
	}
	if err == nil && (o == later || o == early) {
		c.stats.later.Add(1)
	}
	c.log(d, o, f, err)
	c.settled(d, o, f, err)
}

// storeAnswer says what became of the job, as another's ending may have been first.
func (c *Consumer) storeAnswer(ctx context.Context, d *delivery, r *policy.Result) (outcome, error) {
	meta := c.meta(d, r)
	a := policy.ReadAnswer(r.Reply.Body)
	meta.Model, meta.FinishReason = a.Model, a.FinishReason
	meta.InputTokens, meta.OutputTokens = a.InputTokens, a.OutputTokens
	meta.Truncated = a.Ended() != policy.Whole
	meta.LatencyMS = r.Reply.Latency.Milliseconds()
	meta.Cost = d.keep(r.Reply.Body)
	meta.Wasted = d.wasted
	line := AnswerLine(&d.job, d.id, policy.RequestID(r.Reply.Header), oneLine(r.Reply.Body))
	m, err := newEnding(d.job.Batch, d.job.Key, endingAnswer, meta, line)
	if err != nil {
		return answered, err
	}
	other, err := c.putEnding(ctx, d, m)
	brief, cancel := context.WithTimeout(ctx, c.c.AckWait)
	defer cancel()
	switch {
	case errors.Is(err, errEnded):
		c.stats.doubled.Add(1)
		d.keep(nil)
		c.stats.tokens(meta.InputTokens, meta.OutputTokens)
		l := c.letter(d, entryMissing(other), r, policy.Decision{Counts: true})
		return ended, c.concede(brief, d, other, l)
	case errors.Is(err, nats.ErrMaxPayload): // nor will the next answer fit
		f := &policy.Fault{Class: policy.TooLarge, Status: r.Reply.Status, Rule: "answer exceeds the broker's limit"}
		return c.bury(ctx, d, f, r, policy.Decision{Counts: true})
	case err != nil:
		return answered, err
	}
	c.stats.answered.Add(1)
	d.kept = meta
	c.stats.paid(meta.Cost)
	c.stats.ended(a.Ended())
	c.stats.tokens(meta.InputTokens, meta.OutputTokens)
	c.forget(brief, d)
	return answered, c.ack(brief, d)
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

// putEnding stores the ending unless another is there, which it returns with errEnded. The
// broker may have stored it and its word may have been lost: what is found there is ours if it
// bears our call.
func (c *Consumer) putEnding(ctx context.Context, d *delivery, m *nats.Msg) (other Ending, err error) {
	for tries := 1; ; tries++ {
		err := c.answer.put(ctx, m)
		switch {
		case err == nil, errors.Is(err, nats.ErrMaxPayload):
			return other, err
		case errors.Is(err, errEnded):
			other, err := c.store.Ending(ctx, d.job.Batch, d.job.Key)
			if err == nil && other.Meta.Call != d.id {
				err = errEnded
			}
			return other, err
		}
		if tries == 1 {
			defer c.unstored.wait(err)()
		}
		if !sleep(ctx, time.Second) {
			return other, err
		}
	}
}

// postpone writes the history and hands the job back until its time.
func (c *Consumer) postpone(ctx context.Context, d *delivery, r *policy.Result, dec policy.Decision) error {
	delay := dec.Delay
	if !d.aside { // a fallback may take it while its own provider does not
		delay = min(max(delay, time.Until(d.queue.guard.State().Until)), longestRest)
	}
	delay = policy.Jitter(delay)
	h := &d.history
	h.Add(*r, dec, d.received)
	h.Deliveries, h.Resets, h.Alone = d.meta.NumDelivered, d.resets, 0
	h.Until = time.Now().Add(delay)
	if err := c.store.putHistory(ctx, d.job.Batch, d.job.Key, *h); err != nil {
		return err
	}
	return c.nak(d, delay)
}

func (c *Consumer) meta(d *delivery, r *policy.Result) *Meta {
	m := &Meta{
		Call: d.id, Queue: d.queue.Name, Provider: providerName(cmp.Or(d.by.account, d.queue.Account)), Worker: c.c.Worker,
		Calls: earlier(d.msg.Headers()).Calls + d.history.Calls, Again: d.crashes, Waits: d.history.Waits,
	}
	m.Line, _ = strconv.Atoi(d.msg.Headers().Get(producer.HeaderLine)) // ours; 0 where somebody else wrote it
	m.Fallback = d.by.account != "" && d.by.account != d.queue.Account
	m.Wasted = d.wasted
	m.Dropped, m.Raised = d.edit.Dropped, d.edit.Raises
	lost := d.history.Attempts
	if r != nil {
		m.Calls += r.Calls
		lost = slices.Concat(lost, r.Attempts)
	}
	m.LostInputTokens, m.LostOutputTokens = tokensOf(lost)
	return m
}

// tokensOf adds up what answers used that were not kept.
func tokensOf(attempts []policy.Attempt) (in, out int) {
	for _, a := range attempts {
		in, out = in+a.InputTokens, out+a.OutputTokens
	}
	return in, out
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
