package policy

import (
	"cmp"
	"sync"
	"time"
)

type phase uint8 // what a window does about its limit

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
//     one off: what was answered meanwhile had been carried too.
//   - It grows until the first refusal, then probes with one call more. A round trip without a
//     refusal means that there is room; after a refused probe the next one comes later, and after
//     a fall sooner. A refusal of one call at rest is neither: it was another worker's probe.
//   - It grows only while calls fill it. A window at rest proves nothing.
//
// Limiters by latency would not do: an LLM's follows the output, and refusals are fast.
type Window struct {
	mu              sync.Mutex
	limit, ceiling  int
	inFlight, calls int // slots granted, and those of them whose call is on its way
	phase           phase
	rest            int // round trips before the next probe
	rtt             time.Duration
	// When the limit last moved, when it last fell, and when calls last filled it.
	moved, fell, filled time.Time
	changed             chan struct{} // closed when a slot became free; nil while nobody waits
}

// NewWindow returns a window that starts at start calls and never exceeds ceiling.
func NewWindow(start, ceiling int) *Window {
	return &Window{limit: max(min(start, ceiling), 1), ceiling: max(ceiling, 1), rest: 1}
}

const probeCalls, minRest, maxRest = 60, 3, 8 // one refused in so many calls, within reason

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

// Begin makes a call of a slot; Answered, Refused or End returns both. Some slots are always on
// their way to a job, so seven eighths of them fill the window.
func (w *Window) Begin(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls++; w.calls >= w.limit-w.limit/8 {
		w.filled = now
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
	w.rtt = cmp.Or(w.rtt, rtt)
	w.rtt += (rtt - w.rtt) / 8 // a moving average
	w.grow(now)
	w.free(1)
}

// grow raises the limit where calls have filled it lately, and a probed one since it was raised.
func (w *Window) grow(now time.Time) {
	rested := now.Sub(w.moved)
	switch {
	case w.limit >= w.ceiling || now.Sub(w.filled) > 2*w.rtt:
		return
	case w.phase == growing:
	case w.filled.After(w.moved) && w.phase == resting && rested >= time.Duration(w.rest)*w.rtt:
		w.phase = testing
	case w.filled.After(w.moved) && w.phase == testing && rested >= w.rtt: // carried: there is room
		w.phase = growing
	default:
		return
	}
	w.limit, w.moved = w.limit+1, now
}

// Refused returns the slot of a call that was sent at a time and refused for lack of capacity,
// and reports whether the provider carried nothing else. Then any answer is news: it grows.
func (w *Window) Refused(sent, now time.Time) (nothing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	if !sent.Before(w.fell) { // no more of the same burst
		if w.calls+1 < w.limit-w.limit/8-1 { // less is carried than filled the window: it fell
			w.rest = 1
		} else if w.phase == testing {
			w.rest *= 2
		}
		w.rest = min(w.rest, max(probeCalls/w.limit, minRest), maxRest)
		w.limit = min(w.limit, w.calls+1)
	}
	w.limit = max(w.limit-1, 1)
	w.phase, w.moved, w.fell = resting, now, now
	if nothing = w.calls == 0; nothing {
		w.phase = growing
	}
	w.free(1)
	return nothing
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
