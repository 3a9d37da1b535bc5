package policy

import (
	"sync"
	"time"
)

// Window is how many calls may be in flight to one provider. It finds the provider's
// capacity by itself: it doubles every round trip until the first refusal, falls to what the
// provider was carrying when it refused, and from there probes for more, gently at first and
// faster while probes are welcome.
//
// It is ours because latency-based limiters read an LLM's output length as load, and take
// fast refusals for good news.
type Window struct {
	mu      sync.Mutex
	limit   float64
	ceiling float64
	// inFlight counts calls and granted slots.
	inFlight int
	// cruising: the first refusal has been seen, growth is by probes.
	cruising bool
	// step is by how much the next probe raises the limit; rest is how many round trips
	// pass before it, growing with every probe that was refused.
	step, rest float64
	// lastProbe is when the limit last moved; rtt is a moving average of the answers.
	lastProbe time.Time
	rtt       time.Duration
	// full says that the limit was reached since the last move: an idle window proves nothing.
	full bool
	// changed is closed and replaced whenever a slot may have become free.
	changed chan struct{}
}

// NewWindow returns a window that starts at start calls and never exceeds ceiling.
func NewWindow(start, ceiling int) *Window {
	ceiling = max(ceiling, 1)
	start = min(max(start, 1), ceiling)
	return &Window{
		limit: float64(start), ceiling: float64(ceiling), step: 1, rest: 1, changed: make(chan struct{}),
	}
}

// maxRest bounds how many round trips a window rests between probes.
const maxRest = 16

// TryTake takes up to want slots at once and returns how many; when it returns 0, changed is
// closed as soon as it is worth trying again.
func (w *Window) TryTake(want int) (got int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := int(w.limit) - w.inFlight
	got = max(min(want, free), 0)
	w.inFlight += got
	if w.inFlight >= int(w.limit) {
		w.full = true
	}
	return got, w.changed
}

// Give returns n slots that were taken and led to no call, or whose call told nothing about
// capacity.
func (w *Window) Give(n int) {
	if n <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight -= n
	w.wake()
}

// Answered returns the slot of a call that the provider accepted and that took rtt.
func (w *Window) Answered(rtt time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight--
	w.rtt += (rtt - w.rtt) / 8
	if w.rtt == 0 {
		w.rtt = rtt
	}
	w.grow(now)
	w.wake()
}

// grow raises the limit where the calls in flight have filled it.
func (w *Window) grow(now time.Time) {
	switch {
	case !w.full || w.limit >= w.ceiling:
		return
	case !w.cruising:
		w.limit = min(w.limit+1, w.ceiling) // +1 an answer: doubles every round trip
		return
	}
	wait := time.Duration(w.rest * float64(w.rtt))
	if now.Sub(w.lastProbe) < wait {
		return
	}
	// A round trip at the new limit without a refusal: go on, faster.
	w.limit = min(w.limit+w.step, w.ceiling)
	w.step *= 2
	w.rest = 1
	w.lastProbe = now
	w.full = false
}

// Refused returns the slot of a call that the provider refused for lack of capacity. What is
// still in flight is what it carries now, so that becomes the limit, and the refused slot is
// not filled again.
func (w *Window) Refused(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight--
	carried := max(float64(w.inFlight), 1)
	if carried < w.limit {
		if w.cruising && w.step > 1 && w.step <= 2 {
			w.rest = min(w.rest*2, maxRest) // even the smallest probe was too much
		}
		w.limit = carried
	}
	w.cruising = true
	w.step = 1
	w.lastProbe = now
	w.full = false
	w.wake()
}

func (w *Window) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Load tells the present limit and the calls in flight.
func (w *Window) Load() (limit, inFlight int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int(w.limit), w.inFlight
}
