package consumer

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
)

// turns decides which of the lanes that share a provider gets the next slots: those of the
// queue with the highest priority, and among equals each its share, which is the weight of its
// queue, parted evenly among the lanes of that queue that want any.
type turns struct {
	mu      sync.Mutex
	waiting []*turn
	busy    bool // one lane is asking the guard
	// pulling are the lanes that got jobs and come back for more: those of lower priority wait.
	pulling map[*lane]bool
	queues  share // of the queue served last
}

// share is what a queue or a lane was given so far, by its weight. Within is that of its member
// that was served last, from which members that come back go on: nobody saves up.
type share struct{ had, within float64 }

// turn is one lane's wish for slots.
type turn struct {
	lane  *lane
	ready chan struct{}
}

// take waits for the lane's turn and then for slots of its guard; served must follow, and rest
// when the lane wants no more for now. alone says that no other lane waits: all slots may then
// be this one's for a while.
func (t *turns) take(ctx context.Context, l *lane) (slots int, alone bool, err error) {
	w := t.enter(l)
	select {
	case <-w.ready:
	case <-ctx.Done():
		t.leave(w)
		return 0, false, ctx.Err()
	}
	defer t.next()
	want := maxFetch
	if equals := t.others(l.Priority); equals > 0 {
		want = max(l.guard.State().Window/(2*(equals+1)), 1)
	}
	slots, err = l.guard.Take(ctx, want)
	if err == nil {
		t.mu.Lock()
		t.pulling[l] = true
		t.mu.Unlock()
	}
	return slots, t.others(math.MinInt) == 0, err
}

func (t *turns) enter(l *lane) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &turn{lane: l, ready: make(chan struct{})}
	l.queue.share.had = max(l.queue.share.had, t.queues.within)
	l.share.had = max(l.share.had, l.queue.share.within)
	t.waiting = append(t.waiting, w)
	delete(t.pulling, l)
	t.grant()
	return w
}

// leave takes back a wish, or the turn where it was granted at that moment.
func (t *turns) leave(w *turn) {
	t.mu.Lock()
	i := slices.Index(t.waiting, w)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 {
		t.next()
	}
}

func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	t.grant()
}

// grant lets the lane go on that is next. t.mu is held.
func (t *turns) grant() {
	if t.busy || len(t.waiting) == 0 {
		return
	}
	w := slices.MinFunc(t.waiting, func(a, b *turn) int { return a.lane.compare(b.lane) })
	for l := range t.pulling {
		if l.Priority > w.lane.Priority {
			return
		}
	}
	t.waiting = slices.DeleteFunc(t.waiting, func(o *turn) bool { return o == w })
	t.busy = true
	t.queues.within, w.lane.queue.share.within = w.lane.queue.share.had, w.lane.share.had
	close(w.ready)
}

// others counts the lanes that wait, of a priority or higher.
func (t *turns) others(priority int) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waiting {
		if w.lane.Priority >= priority {
			n++
		}
	}
	return n
}

// served notes how many jobs a lane got for the slots it took.
func (t *turns) served(l *lane, jobs int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.queue.share.had += float64(jobs) / float64(l.Weight)
	l.share.had += float64(jobs)
}

// rest says that a lane does not come back at once.
func (t *turns) rest(l *lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pulling, l)
	t.grant()
}

// compare puts the lane first that is to be served first.
func (l *lane) compare(o *lane) int {
	return cmp.Or(
		cmp.Compare(o.Priority, l.Priority),
		cmp.Compare(l.queue.share.had, o.queue.share.had),
		cmp.Compare(l.share.had, o.share.had),
	)
}
