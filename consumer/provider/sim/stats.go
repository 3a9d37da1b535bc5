package sim

import (
	"sync"
	"time"
)

// Stats are the totals since New or ResetStats. Once nothing is under way,
// Calls = Answered + Refused + Failed.
type Stats struct {
	// Calls that arrived on an endpoint that takes jobs.
	Calls int `json:"calls"`
	// Answered calls: the provider did the work and the reply is on its way.
	Answered int `json:"answered"`
	// Refused before any work: by rate, capacity, outage or a closed door.
	Refused int `json:"refused"`
	// Failed otherwise: faults, scripts, invalid requests, clients that went away.
	Failed int `json:"failed"`
	// Early calls came before a Retry-After they could know of had passed: more than 250 ms
	// after anybody was told, or, for the job that was told itself, at any moment.
	Early int `json:"early"`
	// InFlight is how many calls hold capacity now, MaxInFlight the most there were.
	InFlight    int `json:"in_flight"`
	MaxInFlight int `json:"max_in_flight"`
	// DistinctIDs is how many job ids came for the first time.
	DistinctIDs int `json:"distinct_ids"`
	// Doubled is how many job ids were called again after they had been answered.
	Doubled int `json:"doubled"`
	// AnsweredTokens are those of prompts and answers together.
	AnsweredTokens int `json:"answered_tokens"`
	// BusySeconds is the integral of InFlight over time, CapacitySeconds that of the
	// capacity which could be used: nothing counts while the door is closed, in an outage,
	// under an account fault, or while the capacity is unlimited.
	BusySeconds     float64 `json:"busy_seconds"`
	CapacitySeconds float64 `json:"capacity_seconds"`
	// Seconds is how long these totals were gathered.
	Seconds float64 `json:"seconds"`
}

// Share is how much of the provider's true capacity was used, in [0,1]; 0 where it has none.
func (s Stats) Share() float64 {
	if s.CapacitySeconds == 0 {
		return 0
	}
	return s.BusySeconds / s.CapacitySeconds
}

// door lets calls in and counts what became of them.
type door struct {
	mu    sync.Mutex
	stats Stats
	// from is when the totals began; busyAt and capacityAt are how far the integrals are.
	from, busyAt, capacityAt time.Duration
}

func (d *door) arrive(a arrival, early bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Calls++
	d.stats.Early += one(early)
	d.stats.DistinctIDs += one(a.fresh)
	d.stats.Doubled += one(a.doubled)
}

// enter admits a call of so many tokens or says why not, and what the headers tell.
func (d *door) enter(p *plan, now time.Duration, tokens int) (requests, used quota, f *failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f = p.limits(now, tokens)
	if n, limited := p.limit(now - p.since); f == nil && limited && d.stats.InFlight >= n {
		f = capacity(p.Overload)
	}
	if f == nil {
		p.requests.take(1)
		p.tokens.take(tokens)
		d.busy(now)
		d.stats.InFlight++
		d.stats.MaxInFlight = max(d.stats.MaxInFlight, d.stats.InFlight)
	}
	return p.requests.quota(), p.tokens.quota(), f
}

// leave counts what became of a call; inside says whether it had entered.
func (d *door) leave(now time.Duration, became outcome, inside bool, tokens int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy(now)
	d.stats.InFlight -= one(inside)
	switch became {
	case answered:
		d.stats.Answered++
		d.stats.AnsweredTokens += tokens
	case refused:
		d.stats.Refused++
	case failed:
		d.stats.Failed++
	}
}

// busy brings BusySeconds forward. Calls read the clock before they take the lock, so now
// may be a little behind.
func (d *door) busy(now time.Duration) {
	if now > d.busyAt {
		d.stats.BusySeconds += float64(d.stats.InFlight) * (now - d.busyAt).Seconds()
		d.busyAt = now
	}
}

// upTo brings all integrals forward under the plan in force so far. Callers hold mu.
func (d *door) upTo(now time.Duration, p *plan) {
	d.busy(now)
	d.stats.CapacitySeconds += p.capacitySeconds(d.capacityAt, now)
	d.capacityAt = max(d.capacityAt, now)
	d.stats.Seconds = (now - d.from).Seconds()
}

// Stats gives the totals of this moment.
func (h *Handler) Stats() Stats {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	h.door.upTo(h.now(), h.plan.Load())
	return h.door.stats
}

// ResetStats begins the totals anew; calls under way stay in InFlight, and job ids stay
// known.
func (h *Handler) ResetStats() {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	now := h.now()
	h.door.upTo(now, h.plan.Load())
	inside := h.door.stats.InFlight
	h.door.stats = Stats{InFlight: inside, MaxInFlight: inside}
	h.door.from = now
}

// Set changes the behaviour at once. Totals and job ids are kept; the times of c count from
// now and its rate limits start with a full burst. Calls under way end as they would have.
func (h *Handler) Set(c Config) {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	now := h.now()
	h.door.upTo(now, h.plan.Load())
	h.plan.Store(newPlan(c, now))
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
