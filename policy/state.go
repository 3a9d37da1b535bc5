package policy

import (
	"sync"
	"time"
)

// State is what stands between the queue and the provider now, for one worker.
type State struct {
	// Reason is one of "", "hold", "rate limit", "outage", "pace".
	Reason string `json:"reason"`
	// Until is when that ends, where it is known.
	Until time.Time `json:"until,omitzero"`
	Hold  *Hold     `json:"hold,omitempty"`
	// Window and InFlight are the calls allowed and on their way, Ceiling what the window may
	// grow to: this worker's part of the configured limit, one of Workers parts.
	Window   int `json:"window"`
	InFlight int `json:"in_flight"`
	Ceiling  int `json:"ceiling"`
	Workers  int `json:"workers"`
	// Requests and Tokens are the pace now in force; zero where nothing limits it.
	Requests Rate `json:"requests,omitzero"`
	Tokens   Rate `json:"tokens,omitzero"`
	// Gate is until when the provider asked to be left alone.
	Gate time.Time `json:"gate_until,omitzero"`
	// Shut is for how long that was so, since the guard was made.
	Shut time.Duration `json:"-"`
	// Breaker is "closed", "open" or "half-open".
	Breaker string `json:"breaker"`
	// Calls were answered or failed in the last five minutes; Refused are those among them that
	// were refused by rate or for lack of capacity.
	Calls   int `json:"recent_calls"`
	Refused int `json:"recent_refused"`
}

// Rate is a pace and where it comes from: "configured", "headers" of the provider, or "learned"
// from its refusals.
type Rate struct {
	PerMinute float64 `json:"per_minute"`
	From      string  `json:"from"`
}

// State tells why the provider is called no faster.
func (g *Guard) State() State {
	s, now := State{}, time.Now()
	s.Window, s.InFlight, s.Ceiling = g.window.load()
	s.Breaker = g.breaker.State().String()
	s.Requests, s.Tokens = g.pace.inForce(now)
	s.Calls, s.Refused = g.recent.sum(now)
	s.Shut = g.gate.shutFor(now)
	if g.pace.spent() {
		s.Reason = "pace"
	}
	if opens := g.gate.opens(); opens.After(now) {
		s.Gate, s.Reason, s.Until = opens, "rate limit", opens
	}
	if rest := g.breaker.RemainingDelay(); rest > 0 && now.Add(rest).After(s.Until) {
		s.Reason, s.Until = "outage", now.Add(rest)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Workers = max(g.part.n, 1)
	if g.hold != nil {
		s.Hold, s.Reason, s.Until = g.hold, "hold", time.Time{}
	}
	return s
}

func (w *Window) load() (limit, inFlight, ceiling int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.limit, w.inFlight, w.ceiling
}

// inForce gives the pace of requests and of tokens; of several limits on tokens the lowest.
func (p *pace) inForce(now time.Time) (requests, tokens Rate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests = p.limits[perRequests].inForce(now)
	for i := perTokens; i < meters; i++ {
		if r := p.limits[i].inForce(now); r.PerMinute > 0 && (tokens.PerMinute == 0 || r.PerMinute < tokens.PerMinute) {
			tokens = r
		}
	}
	return requests, tokens
}

func (m *meter) inForce(now time.Time) Rate {
	r, all := m.rate(now), 60.
	if m.turns { // of which it has a part
		all /= m.part.count()
	}
	switch r {
	case 0:
		return Rate{}
	case m.mine(m.configured):
		return Rate{PerMinute: all * r, From: "configured"}
	case m.mine(m.shown):
		return Rate{PerMinute: all * r, From: "headers"}
	}
	return Rate{PerMinute: all * r, From: "learned"}
}

// recent counts the calls of the last minutes. The zero value has seen none.
type recent struct {
	mu      sync.Mutex
	minutes [recentMinutes]struct {
		minute         int64
		calls, refused int
	}
}

const recentMinutes = 5

func (r *recent) add(now time.Time, f *Fault) {
	minute := now.Unix() / 60
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.minutes[minute%recentMinutes]
	if m.minute != minute {
		m.minute, m.calls, m.refused = minute, 0, 0
	}
	m.calls++
	if f != nil && (f.Class == RateLimited || f.Class == Overloaded) {
		m.refused++
	}
}

func (r *recent) sum(now time.Time) (calls, refused int) {
	oldest := now.Unix()/60 - recentMinutes
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.minutes {
		if m.minute > oldest {
			calls, refused = calls+m.calls, refused+m.refused
		}
	}
	return calls, refused
}
