package consumer

import (
	"cmp"
	"context"
	"strings"
	"time"

	"nightshift/policy"
)

// route is one way to an answer.
type route struct {
	account  string
	model    string // which is asked whatever the job names; "" for the job's
	provider Provider
	guard    *policy.Guard
	policy.Fallback
}

// main is the route of the queue's own provider.
func (q *queue) main() route {
	return route{account: q.Account, model: q.model, provider: q.provider, guard: q.guard}
}

// asked is what became of asking: the last result, the fault that tells why where there is no
// answer, and what follows from it.
type asked struct {
	policy.Result
	fault    *policy.Fault
	decision policy.Decision
}

// ask puts the job to the provider by whose slot it came, and where that fails in a way that the
// queue has fallbacks for, to those, in their order.
func (c *Consumer) ask(ctx context.Context, d *delivery, by route) asked {
	var own asked
	switch class, refused := d.history.Refused[d.queue.Account]; {
	case by.account != d.queue.Account: // its own is out, or was when the job was pulled: see detour
		fault := cmp.Or(d.queue.out(), &policy.Fault{Class: policy.ServerError, Rule: "provider out"})
		own = asked{fault: fault, decision: c.decide(d, &policy.Result{Fault: fault, Evidence: policy.OfAccount})}
	case refused && len(d.detours(&policy.Fault{Class: class}, 0)) > 0:
		by.guard.Give(1)
		by = route{}
		own.fault = &policy.Fault{Class: class, Rule: "refused before"}
		own.decision = policy.Decision{Outcome: policy.Dead, Class: class}
	default:
		own.Result = c.askEdited(ctx, d, by, &d.history.Edit)
		if own.Cancelled || own.Fault == nil {
			return own
		}
		own.fault, own.decision = own.Fault, c.decide(d, &own.Result)
		by = route{}
	}
	own.Fault = own.fault
	return c.askOthers(ctx, d, own, by)
}

// askOthers puts a job whose own provider failed it to the fallbacks. The slot of one of them may
// be in hand.
func (c *Consumer) askOthers(ctx context.Context, d *delivery, own asked, inHand route) asked {
	routes := d.detours(own.fault, own.decision.Delay)
	if inHand.guard != nil {
		routes = []route{inHand}
		if _, refused := d.history.Refused[inHand.account]; refused {
			inHand.guard.Give(1)
			routes = nil
		}
	}
	d.aside = len(routes) > 0
	last, decision := own, own.decision
	if decision.Outcome == policy.Dead && decision.Class.Refuses() && len(routes) > 0 {
		d.history.Refuse(d.queue.Account, decision.Class)
	}
	for _, by := range routes {
		if inHand.guard == nil && !c.slot(ctx, by) {
			last = c.busy(d, by, last)
			decision = decision.Over(last.decision)
			continue
		}
		d.history.Pass(last.Result, last.decision, time.Now())
		last = asked{Result: c.askEdited(ctx, d, by, &policy.Edit{})}
		if last.Cancelled || last.Fault == nil {
			c.servedBy(ctx, by, &last.Result)
			return last
		}
		last.fault, last.decision = last.Fault, c.decide(d, &last.Result)
		if last.decision.Outcome == policy.Dead && last.decision.Class.Refuses() {
			d.history.Refuse(by.account, last.decision.Class)
		}
		decision = decision.Over(last.decision)
	}
	if decision.Class != last.fault.Class || decision.Outcome != policy.Dead {
		last.fault = own.fault
	}
	last.decision = decision
	return last
}

// decide judges a failed result by the job's history before it.
func (c *Consumer) decide(d *delivery, r *policy.Result) policy.Decision {
	c.noteOdd(d, r.Fault)
	return policy.Decide(r.Fault, d.history, len(r.Attempts), r.Evidence, d.terms(), time.Now())
}

func (d *delivery) terms() policy.Terms {
	return policy.Terms{Attempts: d.queue.Attempts, Deadline: d.job.Deadline}
}

// askBy makes one call, and its tries in place, with the request edited. It holds one slot of the
// route's guard, which it returns.
func (c *Consumer) askBy(ctx context.Context, d *delivery, by route, edit policy.Edit) policy.Result {
	task := policy.Task{
		Key: d.job.Key, Allowed: d.queue.Attempts - len(d.history.Attempts),
		Call:     policy.Call{ID: d.job.Batch + "/" + d.job.Key, Path: d.job.URL, Body: edit.Apply(d.body())},
		Timeouts: d.history.Timeouts(), Deadline: d.job.Deadline,
		Mends: func(f *policy.Fault) bool { return d.mends(f, by, edit) },
	}
	d.by, d.edit = by, edit
	ctx, bill, refused := c.open(ctx, d, by, &task.Call)
	if refused != nil {
		by.guard.Give(1)
		return *refused
	}
	r := bill.close(by.guard.DoTask(ctx, task, func(ctx context.Context) policy.Reply {
		if no, cancelled := c.notWanted(d); cancelled {
			return no
		}
		c.stats.calls.Add(1)
		return bill.call(ctx, by.provider, task.Call)
	}))
	for i := range r.Attempts {
		a := &r.Attempts[i]
		a.Provider, a.Model = providerName(by.account), cmp.Or(by.model, policy.RequestModel(task.Call.Body))
	}
	c.called(by.account, &r)
	return r
}

// providerName is the provider of an account, whose name may go on with a slash and a model.
func providerName(account string) string {
	name, _, _ := strings.Cut(account, "/")
	return name
}
