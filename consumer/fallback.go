package consumer

import (
	"context"
	"fmt"
	"time"

	"nightshift/policy"
)

// Fallback is another account for the jobs of a queue, and for which faults it is used.
type Fallback struct {
	// Account names it. Where it is the same provider with another model, it is an Account of its
	// own, named provider/model.
	Account string
	policy.Fallback
}

// resolve finds the queue's providers.
func (q *queue) resolve(accounts []Account, guards map[string]*policy.Guard) error {
	routes := map[string]route{}
	for _, a := range accounts {
		routes[a.Name] = route{account: a.Name, model: a.Model, provider: a.Provider, guard: guards[a.Name]}
	}
	own, ok := routes[q.Account]
	if !ok {
		return fmt.Errorf("queue %s: no provider %q", q.Name, q.Account)
	}
	q.model, q.provider, q.guard = own.model, own.provider, own.guard
	for _, f := range q.Fallbacks {
		by, ok := routes[f.Account]
		switch {
		case !ok:
			return fmt.Errorf("queue %s: fallback: no provider %q", q.Name, f.Account)
		case f.Account == q.Account:
			return fmt.Errorf("queue %s: fallback to its own provider %q", q.Name, f.Account)
		}
		if err := f.Validate(); err != nil {
			return fmt.Errorf("queue %s: fallback %s: %w", q.Name, f.Account, err)
		}
		by.Fallback = f.Fallback
		q.fallbacks = append(q.fallbacks, by)
	}
	return nil
}

// detours are the fallbacks for a fault of the queue's own provider, which lets the job wait for so
// long, without those that have refused the job.
func (d *delivery) detours(f *policy.Fault, wait time.Duration) (routes []route) {
	wait = max(wait, time.Until(d.queue.guard.State().Until))
	for _, by := range d.queue.fallbacks {
		if _, refused := d.history.Refused[by.account]; !refused && by.Serves(f, d.history, wait, time.Now()) {
			routes = append(routes, by)
		}
	}
	return routes
}

// mends says whether a fault is not the job's end: another provider is asked, or the request is
// made shorter.
func (d *delivery) mends(f *policy.Fault, by route, edit policy.Edit) bool {
	if !f.Class.Refuses() {
		return false
	}
	if _, ok := d.shorter(f, edit); ok {
		return true
	}
	return by.account == d.queue.Account && len(d.detours(f, 0)) > 0
}

// slot takes one of a fallback's guard. A fallback that is held has no pull of its own by which it
// could be probed: the job that needs it is the probe when its time has come.
func (c *Consumer) slot(ctx context.Context, by route) bool {
	if by.guard.TryTake(1) == 1 {
		return true
	}
	hold := by.guard.State().Hold
	return hold != nil && !time.Now().Before(hold.Probe) && !c.serves(by.account) &&
		c.fleet.claimProbe(ctx, by.account, false) && by.guard.ProbeSlot()
}

// serves says whether an account is the own provider of any queue here, and probed for it.
func (c *Consumer) serves(account string) bool {
	for _, q := range c.queues {
		if q.Account == account {
			return true
		}
	}
	return false
}

// servedBy counts an answer of a fallback, and ends its hold if it was held.
func (c *Consumer) servedBy(ctx context.Context, by route, r *policy.Result) {
	if r.Cancelled {
		return
	}
	c.stats.fallback.Add(1)
	c.heal(ctx, by.account)
}

// busy is what becomes of a job whose fallback has no slot: it is back in the queue until one may
// be free, and holds nothing meanwhile. last is what came before, which stays on record; where that
// was an attempt, the wait is noted beside it.
func (c *Consumer) busy(d *delivery, by route, last asked) asked {
	f := &policy.Fault{Class: policy.Overloaded, Rule: "fallback busy"}
	f.RetryAfter = max(time.Until(by.guard.State().Until), 0)
	decision := policy.Decide(f, d.history, 0, policy.OfAccount, d.terms(), time.Now())
	if !last.decision.Counts {
		last.decision = decision
		return last
	}
	d.history.Pass(last.Result, last.decision, time.Now())
	return asked{Result: policy.Result{Fault: f}, fault: f, decision: decision}
}
