package consumer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"nightshift/policy"
)

// bill is what the calls of one delivery by one route cost, and what pays for them. It is nil where
// there is neither a price nor a budget; its methods then only make the call.
type bill struct {
	c       *Consumer
	d       *delivery
	budgets []*budget
	price   policy.Price
	priced  bool
	worst   policy.Spend // the most one call can use
	cancel  context.CancelFunc
	ready   bool // worst is reserved, and no call has used it yet
	refused int  // calls that were not made for lack of money
	last    policy.Spend
	known   bool   // the reply to the last call said what it used
	body    []byte // of that reply
}

// The waits of a job that cannot be paid for now.
const (
	// payWait is how long it waits here, with its slot, for calls in flight to give back.
	payWait = 3 * time.Second
	// brokeWait is when it comes again after that; a batch that is used up is paused by then.
	brokeWait = 2 * time.Second
)

// open makes the bill of a job's calls and reserves for the first, unless the call may not be made:
// then it returns the result of that. The context is for the calls.
func (c *Consumer) open(ctx context.Context, d *delivery, by route, call *policy.Call) (context.Context, *bill, *policy.Result) {
	if fault := d.queue.boundOutput(call); fault != nil {
		return ctx, nil, &policy.Result{Fault: fault}
	}
	paying, err := c.payers(ctx, d)
	if err != nil {
		c.c.Log.Warn().Err(err).Str("job", d.job.Key).Msg("cannot tell the budget")
		return ctx, nil, d.unpaid()
	}
	prices := c.prices[by.account]
	if len(paying) == 0 && len(prices) == 0 {
		return ctx, nil, nil
	}
	b := c.newBill(d, by, call, paying)
	if len(paying) == 0 {
		return ctx, b, nil
	}
	if !b.await(ctx) {
		return ctx, nil, d.unpaid()
	}
	ctx, b.cancel = context.WithCancel(ctx)
	return ctx, b, nil
}

func (c *Consumer) newBill(d *delivery, by route, call *policy.Call, paying []*budget) *bill {
	b := &bill{c: c, d: d, budgets: paying}
	request := policy.ReadRequest(call.Body)
	b.price, b.priced = c.prices[by.account].Price(cmp.Or(by.model, request.Model))
	use := policy.WorstUsage(call.Path, call.Body, request, b.price.MaxOutput)
	b.worst = policy.Spend{Money: b.price.Worst(use), Tokens: use.Tokens()}
	d.bills = append(d.bills, b)
	return b
}

// unpaid hands the job back until there may be money for it.
func (d *delivery) unpaid() *policy.Result {
	d.history.Until = time.Now().Add(policy.Jitter(brokeWait))
	return &policy.Result{Cancelled: true}
}

// back is the outcome of a job that is handed back: at once, or at the time that unpaid has set.
func (d *delivery) back() outcome {
	if d.history.Until.After(time.Now()) {
		return early
	}
	return returned
}

// payers are the budgets of the job's batch and queue.
func (c *Consumer) payers(ctx context.Context, d *delivery) (all []*budget, err error) {
	b, err := c.budgetOf(ctx, PauseBatch, d.job.Batch)
	if b != nil {
		all = append(all, b)
	}
	if d.queue.Budget != (policy.Spend{}) {
		all = append(all, c.budgets.add(budgetKey(PauseQueue, d.queue.Name), true))
	}
	return all, err
}

// await reserves for the first call, and waits briefly where others may give back.
func (b *bill) await(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, payWait)
	defer cancel()
	for {
		v, moved := b.reserve(ctx)
		if v != short {
			return v == granted
		}
		t := time.NewTimer(shortWait)
		select {
		case <-moved:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
		t.Stop()
	}
}

// reserve takes the worst of one call out of every budget, or out of none.
func (b *bill) reserve(ctx context.Context) (verdict, <-chan struct{}) {
	for i, from := range b.budgets {
		v, moved, err := b.c.afford(ctx, from, b)
		if err != nil && !errors.Is(err, ctx.Err()) {
			b.c.c.Log.Warn().Err(err).Str(string(from.scope), from.name).Msg("cannot tell the budget")
		}
		if v != granted {
			for _, back := range b.budgets[:i] {
				back.Settle(b.worst, policy.Spend{}, true)
			}
			return v, moved
		}
	}
	b.ready = true
	return granted, nil
}

// afford is take for a bill whose price may not be known: then a budget in money pays nothing.
func (c *Consumer) afford(ctx context.Context, from *budget, b *bill) (verdict, <-chan struct{}, error) {
	if !b.priced {
		record, _, err := c.store.readBudget(ctx, from.key)
		if err != nil {
			return short, nil, err
		}
		if record.Cap.Money > 0 {
			return exhausted, nil, c.holdBudget(ctx, from, record.Cap, ReasonNoPrice)
		}
	}
	return c.take(ctx, from, b.worst)
}

// call makes one call and pays for it. One that there is no money for is not made: it ends the
// job's context, which ends its tries.
func (b *bill) call(ctx context.Context, p Provider, call policy.Call) policy.Reply {
	if b == nil {
		return p.Call(ctx, call)
	}
	if !b.ready && len(b.budgets) > 0 {
		if v, _ := b.reserve(ctx); v != granted {
			b.refused++
			b.cancel()
			return policy.Reply{Err: context.Canceled}
		}
	}
	b.ready = false
	b.waste() // of the call before it, or else there were no other
	settled := false
	defer func() {
		if !settled { // it panicked
			b.settle(b.worst, false)
		}
	}()
	reply := p.Call(ctx, call)
	b.body = reply.Body
	use, charge := policy.ReadCharge(&reply)
	settled = true
	switch charge {
	case policy.Charged:
		b.settle(policy.Spend{Money: b.price.Cost(use), Tokens: use.Tokens()}, true)
	case policy.MaybeCharged:
		b.settle(b.worst, false)
	case policy.NoCharge:
		b.settle(policy.Spend{}, true)
	}
	return reply
}

func (b *bill) settle(used policy.Spend, known bool) {
	b.last, b.known = used, known
	for _, from := range b.budgets {
		from.Settle(b.worst, used, known)
	}
}

// waste notes that the last call bought no answer.
func (b *bill) waste() {
	if b == nil || b.last == (policy.Spend{}) {
		return
	}
	for _, from := range b.budgets {
		from.Waste(b.last)
	}
	b.c.stats.waste(b.last, b.known, b.priced)
	b.d.wasted += b.last.Money
	b.last = policy.Spend{}
}

// close ends the bill with what came of the calls. A reservation that no call used goes back.
func (b *bill) close(r policy.Result) policy.Result {
	if b == nil {
		return r
	}
	if b.cancel != nil {
		b.cancel()
	}
	if b.ready {
		b.ready = false
		for _, from := range b.budgets {
			from.Settle(b.worst, policy.Spend{}, true)
		}
	}
	if r.Cancelled || r.Fault != nil {
		b.waste()
	}
	if b.refused > 0 {
		r.Calls -= b.refused
		b.c.stats.calls.Add(-int64(b.refused))
		b.d.unpaid()
	}
	return r
}

// keep tells which of the answers that the delivery paid for is kept, if any, and what that one
// cost: nil where the price or the usage is not known.
func (d *delivery) keep(answer []byte) (cost *policy.Money) {
	for _, b := range d.bills {
		if len(answer) == 0 || len(b.body) == 0 || &answer[0] != &b.body[0] {
			b.waste()
			continue
		}
		if paid := b.last.Money; b.priced && b.known {
			cost = &paid
		}
	}
	return cost
}
