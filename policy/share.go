package policy

import "time"

// Share makes the guard keep to its part of the configured limits, which are meant for all the
// workers of a provider together: of n workers it is the one of that rank, from 0. The parts of
// the calls in flight add up to the limit, but every worker may have one; those of the pace do
// exactly. With one worker more, no part grows, so that a newcomer can begin as soon as the
// others keep to theirs. What the provider's replies teach is each worker's own.
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
	g.pace.share(g.c.RequestsPerMinute, g.c.TokensPerMinute, n, time.Now())
	g.wake()
}

// Keeps says whether the calls in flight are no more than the guard's part: after it has shrunk
// that takes until some of them have ended.
func (g *Guard) Keeps() bool {
	_, inFlight, ceiling := g.window.load()
	return inFlight <= ceiling
}

// part is which of how many workers a guard belongs to.
type part struct{ rank, n int }

// bound moves the ceiling. The calls over it end in their own time.
func (w *Window) bound(ceiling int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ceiling = max(ceiling, 1)
	w.limit = min(w.limit, w.ceiling)
	w.free(0)
}

// share sets the configured limits to one of n parts, each of which is used up from the start:
// n workers that begin at once must not begin with n calls.
func (p *pace) share(requests, tokens, n int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, all := range map[int]int{perRequests: requests, perTokens: tokens} {
		if all > 0 {
			p.limits[i].part(float64(all)/60/float64(n), n > 1, now)
		}
	}
}

// part sets the configured rate. What is owed stays the same amount, so it takes longer to pay
// off at a lower rate.
func (m *meter) part(rate float64, usedUp bool, now time.Time) {
	was := m.rate(now)
	lower := rate < m.configured
	m.configured = rate
	is := m.rate(now)
	owed := 0.0
	if m.full.After(now) {
		owed = m.full.Sub(now).Seconds() * was
	}
	if usedUp && lower {
		owed = max(owed, m.atOnce(is))
	}
	m.full = now.Add(seconds(owed / is))
}
