package policy

import (
	"sync"
	"time"
)

// The limits that providers count by. Input and output are counted apart by some.
const (
	perRequests = iota
	perTokens
	perInput
	perOutput
	meters
)

// pace is how many calls and tokens may begin in a minute: no more than configured, than the
// provider's headers say, and than its refusals teach. Calls are spread over the minute. A slot
// is promised a place before its job is pulled: a job that then had to wait for its turn would go
// back to the queue, and the next one would be pulled in its stead, in circles.
type pace struct {
	mu       sync.Mutex
	limits   [meters]meter
	limited  bool // by any limit that is known
	accepted lately
	tokens   tokens
	promised int
}

func newPace(requests, tokens int) *pace {
	p := &pace{}
	p.limits[perRequests].even = true
	p.limits[perRequests].configured = float64(max(requests, 0)) / 60
	p.limits[perTokens].configured = float64(max(tokens, 0)) / 60
	p.limited = requests > 0 || tokens > 0
	return p
}

// ahead is how long before its turn a job is pulled: that takes a while too.
const ahead = 50 * time.Millisecond

// promise gives up to want places that are free now, or tells when the next one is.
func (p *pace) promise(want int) (got int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.limited {
		got = want
	}
	now := time.Now()
	for got < want && wait == 0 {
		if wait = p.due(p.promised+got, now); wait == 0 {
			got++
		}
	}
	p.promised += got
	return got, wait
}

// due is how long the call after so many others need not be pulled yet.
func (p *pace) due(others int, now time.Time) time.Duration {
	wait := p.start(p.tokens.usual().units(), others, now, false).Sub(now)
	if wait > ahead {
		return wait - ahead
	}
	return 0
}

// spent says that no call may begin now.
func (p *pace) spent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limited && p.due(p.promised, time.Now()) > 0
}

// forget takes back n promises that no call will use.
func (p *pace) forget(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.promised = max(p.promised-n, 0)
}

// place is one call's turn: when it comes, what it was thought to use, and what the meters said.
type place struct {
	at    time.Time
	size  size
	marks [meters]mark
}

// take takes the next place, for a request of that body, which may be a probe.
func (p *pace) take(body []byte, probe bool) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	t := place{at: now}
	p.accepted.add(1, now)
	if !p.limited {
		return t
	}
	if p.limits[perTokens].rate(now)+p.limits[perInput].rate(now)+p.limits[perOutput].rate(now) > 0 {
		t.size = p.tokens.estimate(body)
	}
	units := t.size.units()
	t.at = p.start(units, 0, now, probe)
	for i, n := range units {
		m := &p.limits[i]
		m.take(n, t.at, now)
		t.marks[i] = mark{n, m.full, m.shift}
	}
	return t
}

func (t *place) wait() time.Duration { return time.Until(t.at) }

// giveUp returns the turn of a call that is not made.
func (p *pace) giveUp(t *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back(t, time.Now())
}

func (p *pace) back(t *place, now time.Time) {
	p.accepted.add(-1, now)
	for i := range t.marks {
		k, m := &t.marks[i], &p.limits[i]
		before := m.full
		m.giveBack(k.n, now)
		k.full = k.full.Add(m.full.Sub(before))
	}
}

// replied takes in what the reply to a call says of the limits; a refused call used none.
func (p *pace) replied(t *place, sent, now time.Time, r *Reply, f *Fault) {
	shown := ParseLimits(r.Header, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	refused := f != nil && f.Class == RateLimited
	if refused {
		p.back(t, now)
	}
	usual := p.tokens.usual().units()
	for i, l := range [meters]Limit{shown.Requests, shown.Tokens, shown.Input, shown.Output} {
		p.limits[i].learn(l, t.marks[i], usual[i], sent)
		p.limited = p.limited || p.limits[i].shown > 0
	}
	p.takeTurns()
	if refused && !shown.Tokens.Max.Known {
		p.limits[perRequests].refused(p.accepted.rate(now), sent, now)
		p.limited = true
	}
	if f == nil && t.size != (size{}) {
		p.used(t, ReadAnswer(r.Body), now)
	}
}

// used corrects what was reserved by what the answer says it used. Where the provider shows what
// is owed, it shows whether it gives back what was not used.
func (p *pace) used(t *place, a Answer, now time.Time) {
	if a.InputTokens == 0 {
		return
	}
	was, is := t.size.units(), size{float64(a.InputTokens), float64(a.OutputTokens), t.size.raw, t.size.capped}.units()
	p.tokens.learn(t.size, a)
	for i := perTokens; i < meters; i++ {
		m := &p.limits[i]
		r := m.rate(now)
		if r == 0 {
			continue
		}
		over := seconds((was[i] - is[i]) / r)
		if over > 0 && m.shown > 0 {
			m.credit = min(m.credit+over, time.Second)
			continue
		}
		if m.shown == 0 {
			m.full = m.full.Add(-over)
		}
	}
}
