package sim

import (
	"slices"
	"time"
)

// plan is a Config in force, with the state that starts afresh with it. The door's lock
// guards the buckets.
type plan struct {
	Config
	// since is when it came into force.
	since            time.Duration
	requests, tokens bucket
}

func newPlan(c Config, now time.Duration) *plan {
	c.Steps, c.Contexts = slices.Clone(c.Steps), slices.Clone(c.Contexts)
	return &plan{
		Config:   c,
		since:    now,
		requests: newBucket(c.RPM, c.Burst, now),
		tokens:   newBucket(c.TPM, c.BurstTokens, now),
	}
}

// shut is the refusal of everybody, or nil: what is in force before limits are looked at.
func (p *plan) shut(now time.Duration) *failure {
	t := now - p.since
	switch {
	case t < p.Closed:
		return p.closed(p.Closed - t)
	case p.Outage.holds(t):
		f := plain(p.outageStatus())
		f.atDoor = true
		return &f
	case p.faulty(t):
		f := named(p.Fault)
		return &f
	}
	return nil
}

// closed names no numbers: "Limit N, Requested M" would say something else.
func (p *plan) closed(wait time.Duration) *failure {
	f := plain(429)
	f.atDoor = true
	if !p.HeadersOff {
		f.again(wait)
	}
	return &f
}

// limits says which bucket lacks what this call needs.
func (p *plan) limits(now time.Duration, tokens int) *failure {
	p.requests.refill(now)
	p.tokens.refill(now)
	if p.TPM > 0 && tokens > p.TPM {
		return tooLarge(p.TPM, tokens)
	}
	if wait := p.requests.wait(1); wait > 0 {
		return p.requests.over("requests", "RPM", 1, wait, !p.HeadersOff)
	}
	if wait := p.tokens.wait(tokens); wait > 0 {
		return p.tokens.over("tokens", "TPM", tokens, wait, !p.HeadersOff)
	}
	return nil
}

// capacitySeconds integrates the capacity that could be used from one time to another:
// none while shut, and none to speak of where it is unlimited.
func (p *plan) capacitySeconds(from, to time.Duration) float64 {
	cuts := []time.Duration{0, p.Closed, p.Outage.From, p.Outage.To, p.Until}
	for _, s := range p.Steps {
		cuts = append(cuts, s.At)
	}
	for i := range cuts {
		cuts[i] = min(max(cuts[i]+p.since, from), to)
	}
	cuts = append(cuts, from, to)
	slices.Sort(cuts)
	var sum float64
	for i := 1; i < len(cuts); i++ {
		t := cuts[i-1] - p.since
		if n, limited := p.limit(t); limited && p.shut(cuts[i-1]) == nil {
			sum += float64(n) * (cuts[i] - cuts[i-1]).Seconds()
		}
	}
	return sum
}
