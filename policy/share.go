package policy

import "time"

// Share makes the guard keep to its part of the limits, those configured and those that headers
// show, which are meant for all the workers of a provider together: of n workers it is the one of
// that rank, from 0. The parts of the calls in flight add up to the limit, but every worker may
// have one; those of the pace do exactly. With one worker more, no part grows, so that a newcomer
// can begin as soon as the others keep to theirs. The part of a worker without jobs lies idle.
// What refusals teach is each worker's own.
func (g *Guard) Share(rank, n int) {
	n = max(n, 1)
	rank = min(max(rank, 0), n-1)
	g.mu.Lock()
	same := g.part == part{rank, n}
	g.part = part{rank, n}
	g.mu.Unlock()
	if same {
		return
	}
	g.window.bound((g.c.MaxInFlight + n - 1 - rank) / n)
	g.pace.share(part{rank, n}, time.Now())
	g.wake()
}

// Keeps says whether the calls in flight are no more than the guard's part: after it has shrunk
// that takes until some of them have ended.
func (g *Guard) Keeps() bool {
	_, inFlight, ceiling := g.window.load()
	return inFlight <= ceiling
}

// bound moves the ceiling. The calls over it end in their own time.
func (w *Window) bound(ceiling int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ceiling = max(ceiling, 1)
	w.limit = min(w.limit, w.ceiling)
	w.free(0)
}

// share parts the limits among n workers. A smaller part is used up from the start: n workers
// that begin at once must not begin with n calls.
func (p *pace) share(mine part, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var was [meters]float64
	for i := range p.limits {
		m := &p.limits[i]
		was[i] = m.rate(now)
		if m.turns && m.full.After(turnEnd(now)) { // that is a wait for a turn, and no debt
			m.full = now
		}
		m.part = mine
	}
	p.takeTurns()
	for i := range p.limits {
		p.limits[i].changed(was[i], now)
	}
}

// changed follows a change of the rate. What is owed stays the same amount, so it takes longer to
// pay off at a lower one.
func (m *meter) changed(was float64, now time.Time) {
	is := m.rate(now)
	if is == 0 || is == was {
		return
	}
	owed := 0.0
	if m.full.After(now) {
		owed = m.full.Sub(now).Seconds() * was
	}
	if is < was {
		owed = max(owed, m.atOnce(is))
	}
	m.full = now.Add(seconds(owed / is))
}
