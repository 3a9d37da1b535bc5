package policy_test

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"nightshift/policy"
)

// A simulation of windows before one provider, in a time of its own: events in order, nothing
// runs at once, the same seed gives the same figures.

// world is a provider of a changing capacity and the windows that lean on it.
type world struct {
	rng      *rand.Rand
	now      time.Duration
	events   events
	capacity func(time.Duration) int
	active   int
	windows  []*policy.Window
	// scheduled numbers the events, so that those of one moment keep their order.
	scheduled int
	// What is measured, from warm on.
	warm              time.Duration
	used, offered     float64
	answered, refused int
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newWorld(seed uint64, windows, ceiling int, capacity func(time.Duration) int) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), capacity: capacity}
	for range windows {
		w.windows = append(w.windows, policy.NewWindow(16, ceiling))
	}
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.scheduled++
	heap.Push(&w.events, event{w.now + d, w.scheduled, do})
}

func (w *world) clock() time.Time { return time.Unix(0, 0).Add(w.now) }

// run lets every window send whatever it may until the time has come.
func (w *world) run(until time.Duration) {
	for _, win := range w.windows {
		w.after(0, func() { w.fill(win) })
	}
	w.goOn(until)
}

func (w *world) goOn(until time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.measure(e.at)
		w.now = e.at
		e.do()
	}
}

func (w *world) measure(to time.Duration) {
	from := max(w.now, w.warm)
	if to <= from {
		return
	}
	d, c := (to - from).Seconds(), w.capacity(from)
	w.used += d * float64(min(w.active, c))
	w.offered += d * float64(c)
}

func (w *world) fill(win *policy.Window) {
	got, _ := win.TryTake(math.MaxInt)
	for range got {
		// a slot reaches its job, and its call the provider, within a few milliseconds
		w.after(time.Duration(w.rng.Int64N(int64(2*time.Millisecond))), func() { w.send(win) })
	}
}

func (w *world) send(win *policy.Window) {
	sent := w.clock()
	win.Begin(sent)
	if w.active >= w.capacity(w.now) {
		w.after(5*time.Millisecond+w.exp(5*time.Millisecond), func() {
			w.refused += w.counts()
			win.Refused(sent, w.clock())
			w.fill(win)
		})
		return
	}
	w.active++
	w.after(w.latency(), func() {
		w.active--
		w.after(time.Millisecond, func() {
			w.answered += w.counts()
			win.Answered(w.clock().Sub(sent), w.clock())
			w.fill(win)
		})
	})
}

func (w *world) counts() int {
	if w.now < w.warm {
		return 0
	}
	return 1
}

// latency is lognormal with a mean of 400 ms: an LLM's depends on how much it has to say.
func (w *world) latency() time.Duration {
	const sigma = .5
	return time.Duration(.4 * math.Exp(sigma*w.rng.NormFloat64()-sigma*sigma/2) * float64(time.Second))
}

func (w *world) exp(mean time.Duration) time.Duration {
	return time.Duration(w.rng.ExpFloat64() * float64(mean))
}

func (w *world) figures() (used, refused float64) {
	return w.used / w.offered, float64(w.refused) / float64(w.refused+w.answered)
}

func constant(n int) func(time.Duration) int { return func(time.Duration) int { return n } }

func steps(every time.Duration, levels ...int) func(time.Duration) int {
	return func(t time.Duration) int { return levels[min(int(t/every), len(levels)-1)] }
}

func TestWindowFindsTheCapacity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		windows, ceiling int
		capacity         func(time.Duration) int
		warm, until      time.Duration
		used, refused    float64
	}{
		{"constant", 1, 512, constant(64), 5 * time.Second, 65 * time.Second, .97, .015},
		{"steps", 1, 512, steps(20*time.Second, 64, 16, 128, 64), 0, 80 * time.Second, .90, .05},
		{"four share", 4, 512, constant(64), 5 * time.Second, 65 * time.Second, .95, .04},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			worstUsed, worstRefused := 1., 0.
			for seed := range uint64(20) {
				w := newWorld(seed, c.windows, c.ceiling, c.capacity)
				w.warm = c.warm
				w.run(c.until)
				used, refused := w.figures()
				worstUsed, worstRefused = min(worstUsed, used), max(worstRefused, refused)
			}
			t.Logf("worst of 20 seeds: used %.1f %%, refused %.2f %%", 100*worstUsed, 100*worstRefused)
			if worstUsed < c.used || worstRefused > c.refused {
				t.Errorf("want used >= %.0f %%, refused <= %.1f %%", 100*c.used, 100*c.refused)
			}
		})
	}
}

// A provider that is gone for a while, or carries next to nothing, brings the window to its
// floor. When it is back, the window is back within ten round trips; where it has been at rest
// at one call for long, the rest before the probe comes first.
func TestWindowRecovers(t *testing.T) {
	t.Parallel()
	for level, trips := range []int{10, 10 + 8} {
		for seed := range uint64(20) {
			const fall, back = 5 * time.Second, 15 * time.Second
			w := newWorld(seed, 1, 512, func(t time.Duration) int {
				if t >= fall && t < back {
					return level
				}
				return 64
			})
			w.run(back)
			if limit, _ := w.windows[0].Load(); limit > 2 {
				t.Fatalf("level %d, seed %d: the limit is %d and nothing is carried", level, seed, limit)
			}
			w.goOn(back + time.Duration(trips)*400*time.Millisecond)
			if limit, _ := w.windows[0].Load(); limit < 60 {
				t.Errorf("level %d, seed %d: the limit is %d after %d round trips", level, seed, limit, trips)
			}
		}
	}
}
