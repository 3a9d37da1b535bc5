package consumer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/consumer"
	"nightshift/producer"
)

func TestTallyAddsUp(t *testing.T) {
	t.Parallel()
	b := producer.Batch{ID: "b", Queue: "q", Total: 10, Published: 8}
	done := consumer.Counts{Answered: 3, Dead: 1}
	for _, c := range []struct {
		name    string
		stopped bool
		lane    consumer.LaneState
		running int
		want    consumer.Tally
	}{
		{
			"on its way", false,
			consumer.LaneState{Queued: 1, Held: 3},
			2,
			consumer.Tally{Total: 10, Queued: 3, Running: 2, Waiting: 1, Answered: 3, Dead: 1},
		},
		{
			"ended and not yet off the queue", false,
			consumer.LaneState{Queued: 1, Held: 9},
			9,
			consumer.Tally{Total: 10, Running: 6, Answered: 3, Dead: 1},
		},
		{
			"lost by the store", false,
			consumer.LaneState{},
			0,
			consumer.Tally{Total: 10, Queued: 6, Answered: 3, Dead: 1, Missing: 4},
		},
		{
			"a sign of life out of date", false,
			consumer.LaneState{Queued: 4},
			5,
			consumer.Tally{Total: 10, Queued: 6, Answered: 3, Dead: 1},
		},
		{
			"cancelled", true,
			consumer.LaneState{},
			2,
			consumer.Tally{Total: 10, Running: 2, Answered: 3, Dead: 1, Cancelled: 4},
		},
	} {
		if b.Cancelled = (time.Time{}); c.stopped {
			b.Cancelled = time.Now()
		}
		if diff := cmp.Diff(c.want, consumer.NewTally(b, done, c.lane, c.running)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// A ledger is folded once and then only from where it was; what is replayed is not counted twice.
func TestLedgerFollowsEndings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	heal := w.sick(t, "bad")
	run := w.start(t, heal.provide)
	for _, id := range []string{"good", "fine", "bad"} {
		w.put(t, "b", line(id, "x"))
	}
	w.ended(t, "b", 3)
	w.letter(t, "b", "bad")
	for range 2 { // the second reads the checkpoint
		l, err := w.store.Ledger(t.Context(), "b", 0)
		check(t, err)
		if l.Answered != 2 || l.Dead != 1 || l.Calls != 3 || l.Latency.Quantile(0.5) <= 0 {
			t.Errorf("ledger %+v", l)
		}
	}

	heal.now()
	_, err := w.store.Replay(t.Context(), consumer.Filter{Batch: "b"}, consumer.Replay{})
	check(t, err)
	eventually(t, "it is answered", func() bool {
		l, err := w.store.Ledger(t.Context(), "b", 0)
		check(t, err)
		return l.Answered == 3 && l.Dead == 0
	})
	run.stop()
	check(t, run.wait(t))
	for range 3 {
		w.put(t, "b", line("more", "x"))
	}
	if l, err := w.store.Ledger(t.Context(), "b", 1); err != nil || l == nil {
		t.Errorf("nothing new: %v, %v", l, err)
	}
}

// A batch too large for the time is folded in several looks, each from where the last one ended.
func TestLedgerWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n = 3000
	for i := range n {
		w.end(t, "b", fmt.Sprintf("job-%d", i), "answer", `{"call":"c","calls":1,"input_tokens":2}`, "{}")
	}
	looks, last := 0, 0
	for {
		l, err := w.store.LedgerWithin(t.Context(), "b", time.Nanosecond)
		check(t, err)
		if l.Answered+l.Unread != n || l.InputTokens != 2*l.Answered || l.Answered <= last {
			t.Fatalf("after %d looks, the last of %d: %+v", looks, last, l)
		}
		if looks, last = looks+1, l.Answered; looks == 20 {
			break
		}
	}
	l, err := w.store.LedgerWithin(t.Context(), "b", time.Minute)
	check(t, err)
	if l.Answered != n || l.Unread != 0 {
		t.Errorf("%+v", l)
	}
}
