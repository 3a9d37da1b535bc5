package consumer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/consumer"
	"nightshift/producer"
)

// interruption is a replay that was killed after some of its steps.
type interruption struct {
	markers, entries int // how many were removed
	published        bool
	worked           int // how many copies have ended
}

// Between any two steps, and in the middle of each: who comes next does the rest, whatever filter
// it has, and nothing is lost or called twice.
func TestReplayInterrupted(t *testing.T) {
	t.Parallel()
	const n = 6
	for _, i := range []interruption{
		{},
		{markers: 3},
		{markers: n},
		{markers: n, published: true},
		{markers: n, published: true, worked: 2},
		{markers: n, published: true, worked: n},
		{markers: n, published: true, entries: 3},
		{markers: n, published: true, entries: 3, worked: n},
		{markers: n, published: true, entries: n},
	} {
		t.Run(fmt.Sprintf("%+v", i), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			w.kill(t, "b", n)
			w.mend(t, consumer.Filter{})
			w.interrupt(t, i)
			got, err := w.store.Replay(t.Context(), consumer.Filter{Batch: "nothing"}, consumer.Replay{})
			check(t, err)
			if got.Resumed != n {
				t.Errorf("resumed %+v", got)
			}
			w.start(t)
			w.settled(t, "b", n)
			for id, calls := range w.Calls() {
				if calls != 2 {
					t.Errorf("%s: %d calls", id, calls)
				}
			}
		})
	}
}

// interrupt brings the store to where a replay that was killed leaves it.
func (w *world) interrupt(t *testing.T, i interruption) {
	t.Helper()
	type journalLine struct {
		Entry  uint64 `json:"entry"`
		Marker uint64 `json:"marker"`
	}
	var lines []journalLine
	letters := w.letters(t, consumer.Filter{})
	slices.Reverse(letters)
	results, dead := w.stream(t, consumer.ResultsStream), w.stream(t, consumer.DeadStream)
	for k, l := range letters {
		marker, err := results.GetLastMsgForSubject(t.Context(), "results.b."+l.Key)
		check(t, err)
		lines = append(lines, journalLine{l.Entry, marker.Sequence})
		if k < i.markers {
			check(t, results.DeleteMsg(t.Context(), marker.Sequence))
		}
	}
	fleet, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	text, err := json.Marshal(map[string]any{"letters": lines, "after": w.stream(t, producer.Stream).CachedInfo().State.LastSeq})
	check(t, err)
	_, err = fleet.Put(t.Context(), "dead", text)
	check(t, err)
	if !i.published {
		return
	}
	for k, l := range letters {
		full, err := w.store.DeadLetter(t.Context(), "b", "", l.Key)
		check(t, err)
		id := fmt.Sprintf("replay-%d", l.Entry)
		if k < i.worked {
			w.put(t, "b", string(full.Request()), producer.HeaderLook, "1", nats.MsgIdHdr, id)
		}
	}
	if i.worked > 0 {
		run := w.start(t)
		w.drained(t)
		run.stop()
		check(t, run.wait(t))
	}
	for k, l := range letters {
		full, err := w.store.DeadLetter(t.Context(), "b", "", l.Key)
		check(t, err)
		if k >= i.worked {
			w.put(t, "b", string(full.Request()), producer.HeaderLook, "1", nats.MsgIdHdr, fmt.Sprintf("replay-%d", l.Entry))
		}
	}
	for _, l := range letters[:i.entries] {
		check(t, dead.DeleteMsg(t.Context(), l.Entry))
	}
}

func (w *world) stream(t *testing.T, name string) jetstream.Stream {
	t.Helper()
	s, err := w.js.Stream(t.Context(), name)
	check(t, err)
	return s
}

// The letter's writer died before it told the broker: the job is still on the queue, in a lease.
// It must not be worked beside its copy.
func TestReplayBeforeTheTerm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	edit := func(c *consumer.Config) { c.AckWait = 500 * time.Millisecond }
	w.kill(t, "b", 1)
	l := w.letter(t, "b", "job-0")
	// The same letter of a job that has not left the queue.
	w.open(t, edit)
	w.put(t, "b", string(l.Body))
	m := w.steal(t)
	meta, err := m.Metadata()
	check(t, err)
	l.Job, l.Published, l.Entry = meta.Sequence.Stream, meta.Timestamp.UTC(), 0
	text, err := json.Marshal(l)
	check(t, err)
	_, err = w.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "dead.b." + string(l.Class) + ".job-0", Data: l.Body, Header: nats.Header{"Nightshift-Dead": {string(text)}},
	})
	check(t, err)
	w.mend(t, consumer.Filter{})
	_, err = w.store.Replay(t.Context(), consumer.Filter{}, consumer.Replay{})
	check(t, err)
	if n := w.jobs(t); n != 1 {
		t.Errorf("%d jobs on the queue", n)
	}
	w.start(t, edit)
	w.settled(t, "b", 1)
	if n := w.calls("b", "job-0"); n != 2 {
		t.Errorf("%d calls", n)
	}
}

// Two at once: one of them goes on, nothing is lost or doubled.
func TestReplayTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n = 200
	w.fill(t, "b", n)
	w.start(t)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			_, err := w.store.Replay(t.Context(), consumer.Filter{}, consumer.Replay{Rate: 2000})
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil && !errors.Is(err, consumer.ErrBusy) {
			t.Error(err)
		}
	}
	_, err := w.store.Replay(t.Context(), consumer.Filter{}, consumer.Replay{})
	check(t, err)
	w.settled(t, "b", n)
	for id, calls := range w.Calls() {
		if calls != 1 {
			t.Errorf("%s: %d calls", id, calls)
		}
	}
}
