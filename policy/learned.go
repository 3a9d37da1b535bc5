package policy

import "time"

// Learned is what calls have taught a guard about its provider, for the next one to begin with.
type Learned struct {
	// At is when that was.
	At time.Time `json:"at"`
	// Window is how many calls all workers together had room for in flight: one window times
	// the number of workers.
	Window int `json:"window"`
	// Latency is the average time of an answered call.
	Latency time.Duration `json:"latency_ns"`
	// Requests is the rate a second that refusals taught, 0 for none, and Lowered when they
	// last did: it rises from then on.
	Requests float64   `json:"requests_per_second,omitempty"`
	Lowered  time.Time `json:"lowered,omitzero"`
}

// What was learned holds for a day; of an older window the half is a safe beginning.
const learnedAge = 24 * time.Hour

// Learned tells what the guard has learned; false while no call was answered.
func (g *Guard) Learned() (l Learned, ok bool) {
	g.mu.Lock()
	n := max(g.part.n, 1)
	ok = !g.answered.IsZero()
	g.mu.Unlock()
	w := g.window
	w.mu.Lock()
	l = Learned{At: time.Now().UTC(), Window: w.limit * n, Latency: w.rtt}
	w.mu.Unlock()
	g.pace.mu.Lock()
	m := &g.pace.limits[perRequests]
	l.Requests, l.Lowered = m.learned*float64(n), m.lowered
	g.pace.mu.Unlock()
	return l, ok
}

// Recall begins with what an earlier worker learned instead of GuardConfig.Start: with the
// window of the last day, and with half of an older one where that is more than Start. It does
// nothing once a call was answered here, nor with what cannot be.
func (g *Guard) Recall(l Learned) {
	age := time.Since(l.At)
	if age < 0 || l.Window <= 0 || l.Latency <= 0 || l.Requests < 0 {
		return
	}
	g.mu.Lock()
	n, ok := max(g.part.n, 1), g.answered.IsZero()
	g.mu.Unlock()
	if !ok {
		return
	}
	if age > learnedAge {
		g.window.recall(max(l.Window/n/2, g.c.Start), 0, time.Now())
		return
	}
	g.window.recall(l.Window/n, l.Latency, time.Now())
	g.latest.add(l.Latency)
	if l.Requests > 0 {
		g.pace.recall(l.Requests/float64(n), l.Lowered)
	}
}

// recall sets the limit of a window that no call has moved yet. With the round trip it is taken
// for the measured capacity, from which the window probes and does not double.
func (w *Window) recall(limit int, rtt time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.moved.IsZero() {
		return
	}
	w.limit = max(min(limit, w.ceiling), 1)
	if rtt > 0 {
		w.phase, w.rtt, w.moved = resting, rtt, now
	}
	w.free(0)
}

func (p *pace) recall(rate float64, lowered time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits[perRequests].learned, p.limits[perRequests].lowered = rate, lowered
	p.limited = true
}
