package consumer

import (
	"context"
	"slices"
	"time"

	"nightshift/policy"
)

// OnTruncated says what becomes of an answer that was cut short (finish_reason length) or withheld
// (content_filter, refusal).
type OnTruncated string

// The ways of a queue with such answers. All are flagged and counted.
const (
	// Accept keeps it as the answer. The default.
	Accept OnTruncated = "accept"
	// DeadLetterTruncated makes the job a dead letter of the class truncated.
	DeadLetterTruncated OnTruncated = "dead"
	// RetryWithMore asks again, with the limit of the answer doubled up to Queue.MaxTokensCeiling,
	// and accepts what then comes. Only where it was cut short: more tokens bring nothing else.
	RetryWithMore OnTruncated = "retry_with_more"
)

// slotWait bounds the wait for a slot to ask once more. Nothing is held meanwhile but the job.
const slotWait = 5 * time.Second

// askEdited asks one provider, and again where the queue has the request changed: shorter after a
// context overflow, with more room after an answer that was cut short. edit is where it begins,
// and where it ended.
func (c *Consumer) askEdited(ctx context.Context, d *delivery, by route, edit *policy.Edit) policy.Result {
	r := c.askBy(ctx, d, by, *edit)
	for r.Fault != nil && !r.Cancelled {
		next, ok := d.shorter(r.Fault, *edit)
		if !ok {
			return r
		}
		*edit = next
		if !again(ctx, by.guard) { // it goes on from there when it comes again
			r.Fault = &policy.Fault{Class: policy.Overloaded, Rule: "no slot to ask again"}
			r.Evidence = policy.Unclear
			return r
		}
		r = after(r, c.askBy(ctx, d, by, *edit))
	}
	if r.Cancelled {
		return r
	}
	return c.unlessTruncated(ctx, d, by, *edit, r)
}

// body is the job's request, with the queue's limit of the answer where it sets none.
func (d *delivery) body() []byte {
	call := policy.Call{Path: d.job.URL, Body: d.job.Body}
	_ = d.queue.boundOutput(&call) // what is wrong with it is found when it is called
	return call.Body
}

// shorter is the edit after a context overflow, where the queue slides the window of its chats.
func (d *delivery) shorter(f *policy.Fault, edit policy.Edit) (policy.Edit, bool) {
	if !d.queue.SlidingWindow || f.Class != policy.ContextOverflow {
		return edit, false
	}
	return edit.Shorter(d.job.Body, f)
}

// unlessTruncated does with an answer that was cut short or withheld what its queue wants.
func (c *Consumer) unlessTruncated(
	ctx context.Context, d *delivery, by route, edit policy.Edit, r policy.Result,
) policy.Result {
	for d.queue.OnTruncated == RetryWithMore && policy.ReadAnswer(r.Reply.Body).Ended() == policy.Cut {
		next, ok := edit.Longer(d.body(), d.queue.MaxTokensCeiling)
		if !ok || !again(ctx, by.guard) {
			return r
		}
		more := c.askBy(ctx, d, by, next)
		if more.Fault != nil || more.Cancelled {
			// It is paid for, and never given up for one that does not come.
			d.edit = edit
			r.Calls += more.Calls
			d.history.Attempts = append(d.history.Attempts, more.Attempts...)
			return r
		}
		c.spend(by, &r)
		r, edit = after(r, more), next
	}
	a := policy.ReadAnswer(r.Reply.Body)
	if d.queue.OnTruncated == DeadLetterTruncated && a.Ended() != policy.Whole {
		c.spend(by, &r)
		r.Fault, r.Evidence = policy.TruncatedFault(r.Reply, a), policy.OfJob
	}
	return r
}

// spend makes an attempt of an answer that is not kept: its tokens are paid for.
func (c *Consumer) spend(by route, r *policy.Result) {
	a := policy.ReadAnswer(r.Reply.Body)
	c.stats.tokens(a.InputTokens, a.OutputTokens)
	at := policy.NewAttempt(time.Now().Add(-r.Reply.Latency), providerName(by.account), r.Reply.Latency,
		policy.TruncatedFault(r.Reply, a))
	at.Model, at.InputTokens, at.OutputTokens = a.Model, a.InputTokens, a.OutputTokens
	r.Attempts = append(r.Attempts, at)
}

// again takes a slot to ask once more. The first was returned with the reply.
func again(ctx context.Context, g *policy.Guard) bool {
	ctx, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	n, err := g.Take(ctx, 1)
	return err == nil && n == 1
}

// after is the second of two results of one job, with the calls of both.
func after(first, second policy.Result) policy.Result {
	second.Calls += first.Calls
	second.Attempts = slices.Concat(first.Attempts, second.Attempts)
	return second
}
