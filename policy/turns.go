package policy

import (
	"math"
	"time"
)

// Where a provider allows a little at once and calls are large, a call may need all of it. Workers
// that each called at their part of the rate would run into each other, however well they kept to
// it. So they take turns by the clock, and each has the whole rate in its own. Clocks that differ
// by more than turnGap let turns overlap: the refusals that follow shut the gate, as ever.
const (
	// turnTime is the length of a turn: at its end a moment is lost to calls that do not fit, and
	// a worker without jobs wastes it.
	turnTime = 15 * time.Second
	turnGap  = 50 * time.Millisecond
	// turnBurst is how much a provider allows at once, in time, that needs no turns.
	turnBurst = 5 * time.Second
)

// part is which of how many workers a guard belongs to.
type part struct{ rank, n int }

// count is the number of workers, which is not known at first.
func (p part) count() float64 { return float64(max(p.n, 1)) }

// turn is the first moment from at on when a call may begin that takes so long to pay off. One
// that is longer than a turn goes at the beginning of it.
func (p part) turn(at time.Time, takes time.Duration) time.Time {
	round := time.Duration(p.n) * turnTime
	begin := at.Truncate(round).Add(time.Duration(p.rank) * turnTime)
	for begin.Before(at) {
		if !at.Add(takes).After(begin.Add(turnTime - turnGap)) {
			return at
		}
		begin = begin.Add(round)
	}
	return begin
}

// tight says that a provider allows too little at once for workers to call at the same time. It
// goes by what all workers are shown alike: what each makes of its own calls could differ. Where
// all calls weigh the same, room for one of each worker is enough.
func (m *meter) tight() bool {
	enough := turnBurst.Seconds() * m.shown
	if m.even {
		enough = m.part.count()
	}
	return m.part.n > 1 && m.remains && m.burst < enough
}

// takeTurns decides how the limits are shared: all in the same way, as a call needs its part of
// each at the same time.
func (p *pace) takeTurns() {
	turns := false
	for i := range p.limits {
		turns = turns || p.limits[i].tight()
	}
	for i := range p.limits {
		p.limits[i].turns = turns
	}
}

// start is when a call of that size may begin after so many others. A probe is not bound to turns:
// nobody else calls meanwhile.
func (p *pace) start(units [meters]float64, others int, now time.Time, probe bool) time.Time {
	at, takes := now, time.Duration(0)
	for i, n := range units {
		m := &p.limits[i]
		if s := m.start(n, others, now); s.After(at) {
			at = s
		}
		if r := m.rate(now); r > 0 {
			takes = max(takes, seconds(n/r))
		}
	}
	if m := &p.limits[0]; m.turns && !probe {
		return m.part.turn(at, takes)
	}
	return at
}

// elsewhere is how long it is until another worker has its turn, and can do what this one cannot.
func (p *pace) elsewhere() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.limits[0].turns {
		return math.MaxInt64
	}
	now := time.Now()
	return turnEnd(now).Sub(now)
}

// turnEnd is when the present turn ends, whosever it is.
func turnEnd(now time.Time) time.Time { return now.Truncate(turnTime).Add(turnTime) }
