package saaslitellm

import (
	"context"
	"time"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/policy"
)

// ending is how a job is completed.
type ending struct {
	Status string `json:"status"`
	// Message names the class of the fault and holds nothing of a prompt.
	Message string `json:"error_message,omitempty"`
}

func succeeded() ending            { return ending{Status: "completed"} }
func failed(message string) ending { return ending{Status: "failed", Message: message} }

// endingOf is how a call's reply ends its job.
func endingOf(r policy.Reply) ending {
	if f := policy.Classify(r); f != nil {
		return failed(f.Error())
	}
	return succeeded()
}

// complete has a job completed behind its call, whose answer need not wait for it. As it waits
// for a slot, a server slow at completing slows the calls down too.
func (p *Provider) complete(ctx context.Context, id string, e ending) {
	p.journal.ended(id, e.Status)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.c.Complete)
	p.slots <- struct{}{}
	p.work.Go(func() {
		defer func() { cancel(); <-p.slots }()
		if p.tryComplete(ctx, id, e) {
			p.journal.completed(id)
		}
	})
}

// tryComplete makes three tries. What the server refuses for good is as good as completed:
// it knows no such job, or has it completed already.
func (p *Provider) tryComplete(ctx context.Context, id string, e ending) bool {
	body, err := chat.Encode(e)
	if err != nil {
		return false
	}
	wait := 100 * time.Millisecond
	for try := range 3 {
		r := p.send(ctx, "/api/jobs/"+id+"/complete", body)
		switch {
		case r.Status/100 == 2:
			return true
		case r.Status == 400, r.Status == 404, r.Status == 409, r.Status == 410, r.Status == 422:
			return true
		case try == 2:
			return false
		}
		wait = max(4*wait, policy.RetryAfter(r, time.Now()))
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
	return false
}

// sweep completes the jobs that dead processes left open: as failed, or as their calls had
// ended. What cannot be completed now stays written down for the next start.
func (p *Provider) sweep() {
	for id, status := range p.journal.inherit() {
		e := failed("nightshift: the worker died")
		if status == succeeded().Status {
			e = succeeded()
		}
		ctx, cancel := context.WithTimeout(context.Background(), p.c.Complete)
		done := p.tryComplete(ctx, id, e)
		cancel()
		if !done { // the server is away; the rest would wait as long
			return
		}
		p.journal.completed(id)
	}
}
