package policy_test

import (
	"testing"
	"time"

	"nightshift/policy"
)

// lean drives a window by hand, in a time of its own.
type lean struct {
	*policy.Window
	now time.Time
}

func newLean(start, ceiling int) *lean {
	return &lean{policy.NewWindow(start, ceiling), time.Unix(1e9, 0)}
}

// send takes up to n slots and begins their calls.
func (l *lean) send(n int) (sent int) {
	sent, _ = l.TryTake(n)
	for range sent {
		l.Begin(l.now)
	}
	return sent
}

// answer ends n calls of a round trip of one second.
func (l *lean) answer(n int) {
	for range n {
		l.Answered(time.Second, l.now)
	}
}

func (l *lean) limit() int {
	limit, _ := l.Load()
	return limit
}

// trip is one round trip with the window kept full.
func (l *lean) trip() {
	n := l.send(1 << 20)
	l.now = l.now.Add(time.Second)
	l.answer(n)
}

func TestWindowBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ start, ceiling, want int }{
		{16, 64, 16}, {16, 4, 4}, {0, 4, 1}, {-1, 0, 1}, {5, -1, 1},
	} {
		if got := newLean(c.start, c.ceiling).limit(); got != c.want {
			t.Errorf("start %d, ceiling %d: %d", c.start, c.ceiling, got)
		}
	}
}

func TestWindowDoublesToItsCeiling(t *testing.T) {
	t.Parallel()
	l := newLean(4, 20)
	for _, want := range []int{8, 16, 20, 20} {
		if l.trip(); l.limit() != want {
			t.Errorf("%d, want %d", l.limit(), want)
		}
	}
}

// A window at rest proves nothing, nor do slots that are granted and have no job.
func TestWindowAtRestDoesNotGrow(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(l *lean){
		"one call at a time": func(l *lean) { l.send(1); l.now = l.now.Add(time.Second); l.answer(1) },
		"slots without jobs": func(l *lean) {
			n, _ := l.TryTake(16)
			l.Begin(l.now)
			l.now = l.now.Add(time.Second)
			l.answer(1)
			l.Give(n - 1)
		},
		"faults that tell nothing": func(l *lean) {
			for range l.send(16) {
				l.End()
			}
		},
	} {
		for _, refused := range []bool{false, true} {
			l := newLean(16, 512)
			if refused { // so that it probes
				sent := l.now
				n := l.send(16)
				l.Refused(sent, l.now)
				l.answer(n - 1)
			}
			limit := l.limit()
			for range 100 {
				use(l)
			}
			if l.limit() != limit {
				t.Errorf("%s: grew from %d to %d", name, limit, l.limit())
			}
			l.trip() // it has been full; but not for long
			l.now = l.now.Add(time.Minute)
			limit = l.limit()
			for range 100 {
				use(l)
			}
			if l.limit() > limit {
				t.Errorf("%s, once full: grew from %d to %d", name, limit, l.limit())
			}
		}
	}
}

// What is still on the way is what the provider carries; the answers that come between the
// refusals of one burst were carried too.
func TestWindowMeasuresByRefusals(t *testing.T) {
	t.Parallel()
	l := newLean(100, 512)
	sent := l.now
	l.send(100)
	l.now = l.now.Add(time.Second)
	for range 36 { // of a hundred, 64 are carried, and every third refusal an answer comes
		l.Refused(sent, l.now)
	}
	if l.limit() != 64 {
		t.Errorf("%d, want 64", l.limit())
	}
	if n := l.send(100); n != 0 {
		t.Errorf("%d refused slots were filled again", n)
	}
	l.answer(1)
	if n := l.send(100); n != 1 {
		t.Errorf("%d calls for one answer", n)
	}

	l = newLean(100, 512)
	l.send(100)
	l.now = l.now.Add(time.Second)
	for i := range 36 {
		l.Refused(sent, l.now)
		if i%3 == 0 {
			l.answer(1)
		}
	}
	if l.limit() != 64 {
		t.Errorf("answers between: %d, want 64", l.limit())
	}
}

// Granted slots are no measure: they may have no job.
func TestWindowMeasuresCallsNotSlots(t *testing.T) {
	t.Parallel()
	l := newLean(100, 512)
	sent := l.now
	got, _ := l.TryTake(100)
	for range 5 {
		l.Begin(l.now)
	}
	l.now = l.now.Add(time.Second)
	if l.Refused(sent, l.now) {
		t.Error("four are carried")
	}
	if l.limit() != 4 || got != 100 {
		t.Errorf("%d, want 4", l.limit())
	}
}

func TestWindowFloor(t *testing.T) {
	t.Parallel()
	l := newLean(3, 512)
	sent := l.now
	l.send(3)
	l.now = l.now.Add(time.Second)
	for i, want := range []bool{false, false, true} {
		if nothing := l.Refused(sent, l.now); nothing != want {
			t.Errorf("refusal %d: nothing carried is %v", i, nothing)
		}
	}
	for range 100 {
		sent = l.now
		if n := l.send(10); n != 1 {
			t.Fatalf("%d slots at the floor", n)
		}
		l.now = l.now.Add(time.Second)
		l.Refused(sent, l.now)
	}
	if l.limit() != 1 {
		t.Errorf("limit %d", l.limit())
	}
}

func TestWindowWakes(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]func(l *lean){
		"give":   func(l *lean) { l.Give(1) },
		"end":    func(l *lean) { l.Begin(l.now); l.End() },
		"answer": func(l *lean) { l.Begin(l.now); l.answer(1) },
	} {
		l := newLean(1, 1)
		if got, changed := l.TryTake(1); got != 1 || changed != nil {
			t.Fatalf("%d slots", got)
		}
		got, changed := l.TryTake(1)
		_, second := l.TryTake(1)
		if got != 0 || changed == nil || changed != second {
			t.Fatalf("%s: %d slots", name, got)
		}
		free(l)
		select {
		case <-changed:
		default:
			t.Errorf("%s: nobody was woken", name)
		}
		if got, _ := l.TryTake(1); got != 1 {
			t.Errorf("%s: the slot is lost", name)
		}
	}
}
