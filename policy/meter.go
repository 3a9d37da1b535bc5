package policy

import (
	"math"
	"time"
)

const (
	// share is how near to a limit the pace goes: clocks differ, and a refusal costs more.
	share = .99
	// burstTime is how much may come at once, in time: half of what providers allow at least,
	// the other half is for calls that are late on their way.
	burstTime = 500 * time.Millisecond
	// margin is how much later a call comes that needs all that a provider allows at once: what
	// was sent before it may have been late by that much.
	margin = 25 * time.Millisecond
	// setback is how far below what was accepted a refusal brings the rate of all workers. Only
	// the one that was refused hears of it, so it goes back for all.
	setback = .03
)

// meter is one limit as a bucket that refills all the time: what is owed is paid off at the rate,
// and a call may begin when little enough is owed. It reckons in time: full is when nothing will
// be owed. The zero meter limits nothing.
type meter struct {
	configured, shown, learned float64 // a second; 0 is unknown
	full                       time.Time
	// burst is what the provider was seen to allow at once, 0 while unknown; remains says that it
	// shows what is left of it.
	burst   float64
	remains bool
	// even says that every call weighs the same, as where requests are counted.
	even bool
	// shift is the sum of all corrections of full, credit the part of it that may be taken back.
	shift, credit time.Duration
	lowered       time.Time
	// part is which of how many workers this is: they share what is configured or shown.
	part part
	// turns says that they share it by time and not by rate.
	turns bool
}

// rate is the lowest of the known limits, 0 for none.
func (m *meter) rate(now time.Time) float64 {
	r := math.Inf(1)
	if m.configured > 0 {
		r = m.mine(m.configured)
	}
	if m.shown > 0 {
		r = min(r, m.mine(m.shown))
	}
	if m.learned > 0 {
		r = min(r, m.learned*raise(now.Sub(m.lowered)))
	}
	if math.IsInf(r, 1) {
		return 0
	}
	return r
}

// mine is the part of a limit that this worker may use at a time.
func (m *meter) mine(limit float64) float64 {
	if m.turns {
		return share * limit
	}
	return share * limit / m.part.count()
}

// raise is by how much a learned rate has risen since it was lowered: by little at first, as the
// limit is near, and faster while nothing is refused, as it may be far.
func raise(since time.Duration) float64 {
	t := since.Seconds()
	return 1 + .002*t + .0004*t*t
}

// atOnce is how much may begin at once at a rate.
func (m *meter) atOnce(rate float64) float64 {
	b := rate * burstTime.Seconds()
	if m.burst > 0 {
		b = min(b, m.burst/2)
	}
	return max(b, 1)
}

// slack is how much may be owed when a call of n units begins: what may begin at once, less the
// call itself where the provider is not known to allow more.
func (m *meter) slack(n, rate float64) float64 {
	b := m.atOnce(rate)
	return max(b-n, min(b, m.burst-b-n), 0)
}

// start is when n units may begin after so many others of the same size.
func (m *meter) start(n float64, others int, now time.Time) time.Time {
	r := m.rate(now)
	if r == 0 {
		return now
	}
	at, slack := m.full, m.slack(n, r)
	if slack == 0 && n > m.burst-r*margin.Seconds() && !m.even {
		at = at.Add(margin)
	}
	if at.Before(now) {
		at = now
	}
	return at.Add(seconds((float64(others)*n - slack) / r))
}

// take reserves n units for a call that begins at a time.
func (m *meter) take(n float64, at, now time.Time) {
	if r := m.rate(now); r > 0 {
		if m.full.Before(at) {
			m.full = at
		}
		m.full = m.full.Add(seconds(n / r))
	}
}

// giveBack returns n units that were not used after all.
func (m *meter) giveBack(n float64, now time.Time) {
	if r := m.rate(now); r > 0 {
		m.full = m.full.Add(-seconds(n / r))
	}
}

// mark is what a meter said when a call took its place.
type mark struct {
	n     float64
	full  time.Time
	shift time.Duration
}

// learn takes in what the headers of a reply show. They tell of the moment at which the call
// arrived: what was taken or corrected since counts as well.
func (m *meter) learn(l Limit, k mark, usual float64, sent time.Time) {
	if !l.Max.Known || l.Per == 0 {
		return
	}
	m.shown = float64(l.Max.N) / l.Per.Seconds()
	if !l.Remaining.Known {
		return
	}
	// A window that is renewed as a whole names a reset far off although next to nothing is used.
	owed := min(l.Reset.Seconds()*m.shown, float64(l.Max.N-l.Remaining.N))
	if l.Remaining.N > 0 {
		m.burst = max(m.burst, float64(l.Remaining.N)+owed)
	}
	m.remains = true
	full := sent.Add(seconds((owed - m.spare(usual)) / m.shown))
	if k.full.IsZero() { // it was sent when no limit was known
		if m.full.Before(full) {
			m.full = full
		}
		return
	}
	m.correct(full.Sub(k.full) - (m.shift - k.shift))
}

// spare is how much may be owed beyond what we know of before it counts. Where the provider allows
// much at once, others may owe most of it. Calls that all weigh the same may be late, as half of
// the rest is left free for them; where they do not, the next may need everything that is free.
func (m *meter) spare(usual float64) float64 {
	once := m.atOnce(share * m.shown)
	s := max(0, m.burst-2*once)
	if m.even {
		s += max(0, min(m.burst, 2*once)-once-usual) / 2
	}
	return s
}

// correct moves full outwards, or inwards as far as it was moved outwards before.
func (m *meter) correct(by time.Duration) {
	by = max(by, -m.credit)
	m.credit = min(m.credit+by, time.Second)
	m.shift += by
	m.full = m.full.Add(by)
}

// refused lowers the rate to just below that of the calls that were accepted lately. Refusals of
// calls that were sent before it was last lowered are the same news.
func (m *meter) refused(accepted float64, sent, now time.Time) {
	if sent.Before(m.lowered) || accepted == 0 {
		return
	}
	m.learned, m.lowered = max((1-min(m.part.count()*setback, .5))*accepted, 1./60), now
	if m.full.Before(now) {
		m.full = now
	}
}

// lately measures a rate over the last seconds.
type lately struct {
	sum         float64
	since, last time.Time
}

// lateTime is how fast lately forgets.
const lateTime = 5 * time.Second

func (l *lately) add(n float64, now time.Time) {
	if now.Sub(l.last) > lateTime { // it was idle: that says nothing of what could be
		*l = lately{since: now, last: now}
	}
	l.sum = max(0, l.sum*math.Exp(-now.Sub(l.last).Seconds()/lateTime.Seconds())+n)
	l.last = now
}

// rate is a second's, or 0 when there is nothing to go by.
func (l *lately) rate(now time.Time) float64 {
	l.add(0, now)
	seen := max(now.Sub(l.since), time.Second).Seconds() / lateTime.Seconds()
	return l.sum / lateTime.Seconds() / (1 - math.Exp(-seen))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
