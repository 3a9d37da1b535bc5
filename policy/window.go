package policy

import (
	"sync"
	"time"
)

// phase is what a window does about its limit.
type phase uint8

const (
	growing phase = iota // one more with every answer, which doubles it in a round trip
	resting              // at the measured capacity, until it is time for a probe
	testing              // one above it, for a round trip
)

// Window is how many calls may be in flight to one provider. It finds the capacity by itself:
//
//   - A refusal is a measurement: the other calls on the way are what the provider carries now,
//     so that becomes the limit, and the refused slot is not filled again.
//   - Refusals of calls that were sent before the limit last fell are the same burst. Each takes
//     one off; the calls that were answered meanwhile were carried and do not count.
//   - It grows until the first refusal, then probes: one call more. If a round trip passes without
//     a refusal, it grows again; if the probe is refused, the next one comes later.
//   - It grows only while calls fill it. A window at rest proves nothing.
//
// Latency-based limiters would not do: they read the length of an LLM's output as load, and
// take fast refusals for good news.
type Window struct {
	mu              sync.Mutex
	limit, ceiling  int
	inFlight, calls int // slots granted, and those of them whose call is on its way
	phase           phase
	rest            int       // round trips before the next probe
	moved, fell     time.Time // when the limit last moved, and when it last fell
	rtt             time.Duration
	full            bool          // calls have filled the window since the last move
	changed         chan struct{} // closed when a slot became free; nil while nobody waits
}

// NewWindow returns a window that starts at start calls and never exceeds ceiling.
func NewWindow(start, ceiling int) *Window {
	ceiling = max(ceiling, 1)
	return &Window{limit: min(max(start, 1), ceiling), ceiling: ceiling, rest: 1}
}

// Refused probes cost about one call in a hundred, but come often enough to find new capacity.
const probeCalls, minRest, maxRest = 100, 4, 8

// TryTake takes up to want slots at once and returns how many; when it returns 0, changed is
// closed as soon as it is worth trying again.
func (w *Window) TryTake(want int) (got int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if got = max(min(want, w.limit-w.inFlight), 0); got > 0 {
		w.inFlight += got
		return got, nil
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return 0, w.changed
}

// Give returns n slots that were taken and led to no call.
func (w *Window) Give(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free(max(n, 0))
}

// Begin makes a call of a slot; Answered, Refused or End returns both.
func (w *Window) Begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	// Some slots are always on their way to a job: seven eighths are a full window.
	if w.calls >= w.limit-w.limit/8 {
		w.full = true
	}
}

// End returns the slot of a call that told nothing about capacity.
func (w *Window) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	w.free(1)
}

// Answered returns the slot of a call that the provider accepted and that took rtt.
func (w *Window) Answered(rtt time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	w.rtt += (rtt - w.rtt) / 8
	if w.rtt == 0 {
		w.rtt = rtt
	}
	w.grow(now)
	w.free(1)
}

// grow raises the limit where the calls on the way have filled it.
func (w *Window) grow(now time.Time) {
	if !w.full || w.limit >= w.ceiling {
		return
	}
	switch {
	case w.phase == resting && now.Sub(w.moved) >= time.Duration(w.rest)*w.rtt:
		w.phase = testing
	case w.phase == testing && now.Sub(w.moved) >= w.rtt: // it was carried: there is room
		w.phase = growing
	case w.phase != growing:
		return
	}
	w.limit++
	w.moved = now
	w.full = w.phase == growing
}

// Refused returns the slot of a call that was sent at a time and refused for lack of capacity,
// and reports whether the provider carried nothing else. Then any answer is news: it grows.
func (w *Window) Refused(sent, now time.Time) (nothing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	if !sent.Before(w.fell) { // no more of the same burst
		if w.phase == testing {
			w.rest = min(2*w.rest, max(probeCalls/w.limit, minRest), maxRest)
		} else {
			w.rest = 1
		}
		w.limit = min(w.limit, w.calls+1)
	}
	w.limit = max(w.limit-1, 1)
	w.phase, w.moved, w.fell, w.full = resting, now, now, false
	if w.calls == 0 {
		w.phase = growing
	}
	w.free(1)
	return w.calls == 0
}

// free returns n slots and wakes who waits for one.
func (w *Window) free(n int) {
	w.inFlight -= n
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// Load tells the present limit and the calls in flight.
func (w *Window) Load() (limit, inFlight int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.limit, w.inFlight
}
