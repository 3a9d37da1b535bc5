package consumer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// doomed is a prompt that is refused, and answered once the marker is edited away.
const doomed = "[[sim:string_above_max_length]]"

// kill makes n jobs of a batch dead letters and stops the worker.
func (w *world) kill(t *testing.T, batch string, n int) {
	t.Helper()
	w.putMany(t, batch, n, doomed)
	run := w.start(t)
	w.ended(t, batch, n)
	w.drained(t)
	run.stop()
	check(t, run.wait(t))
}

// fill writes the letters and markers of n jobs job-0, job-1, … as a worker would have.
func (w *world) fill(tb testing.TB, batch string, n int) {
	tb.Helper()
	nc := w.broker.Conn()
	for from := 0; from < n; from += producer.MaxAtomic {
		var letters, markers []*nats.Msg
		for i := from; i < min(n, from+producer.MaxAtomic); i++ {
			letter, marker := letterMessages(tb, batch, i)
			letters, markers = append(letters, letter), append(markers, marker)
		}
		check(tb, producer.PublishAtomic(tb.Context(), nc, markers))
		check(tb, producer.PublishAtomic(tb.Context(), nc, letters))
	}
}

// letterMessages makes the entry and the marker of one job; of three letters two are of one class
// and one of another.
func letterMessages(tb testing.TB, batch string, i int) (letter, marker *nats.Msg) {
	tb.Helper()
	class, key := policy.Timeout, fmt.Sprintf("job-%d", i)
	if i%3 == 0 {
		class = policy.BadRequest
	}
	at := time.Now().UTC()
	text, err := json.Marshal(consumer.DeadLetter{
		Key: key, CustomID: key, Queue: "default", Batch: batch, Class: class, Owner: class.Owner(), Remedy: class.Remedy(),
		Status: 400 + i%3, Code: "code", Message: fmt.Sprintf("Words %d", i), Model: fmt.Sprintf("m%d", i%2),
		Attempts: make([]policy.Attempt, 1+i%2), Deliveries: 1, Worker: "w", First: at, Last: at, Published: at,
	})
	check(tb, err)
	letter = &nats.Msg{
		Subject: "dead." + batch + "." + string(class) + "." + key, Data: []byte(line(key, "x")),
		Header: nats.Header{"Nightshift-Dead": {string(text)}},
	}
	marker = &nats.Msg{Subject: "results." + batch + "." + key, Header: nats.Header{
		"Nightshift-Ending": {"dead"}, "Nightshift-Meta": {fmt.Sprintf(`{"call":"x","class":%q}`, class)},
	}}
	return letter, marker
}

// mend edits the marker out of every prompt.
func (w *world) mend(t *testing.T, f consumer.Filter) {
	t.Helper()
	_, err := w.store.Edit(t.Context(), f, consumer.Edit{Change: func(_ *consumer.DeadLetter, now []byte) ([]byte, error) {
		return []byte(strings.ReplaceAll(string(now), doomed, "better")), nil
	}})
	check(t, err)
}

func (w *world) letters(t *testing.T, f consumer.Filter) (all []consumer.DeadLetter) {
	t.Helper()
	for l, err := range w.store.Letters(t.Context(), f) {
		check(t, err)
		all = append(all, l)
	}
	return all
}

// settled wants n answers of a batch, no letter, nothing queued and no claim under way.
func (w *world) settled(t *testing.T, batch string, n int) {
	t.Helper()
	w.ended(t, batch, n)
	w.drained(t)
	if diff := cmp.Diff(consumer.Counts{Answered: n, ByClass: map[policy.Class]int{}}, w.counts(t, batch)); diff != "" {
		t.Error(diff)
	}
	left, err := w.store.Interrupted(t.Context())
	check(t, err)
	if all := w.letters(t, consumer.Filter{}); left != 0 || len(all) != 0 {
		t.Errorf("%d letters under way, %d left", left, len(all))
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n = 30
	w.kill(t, "b", n)
	w.mend(t, consumer.Filter{})
	got, err := w.store.Replay(t.Context(), consumer.Filter{Batch: "b"}, consumer.Replay{})
	check(t, err)
	if diff := cmp.Diff(consumer.Replayed{Letters: n}, got); diff != "" {
		t.Error(diff)
	}
	w.start(t)
	w.settled(t, "b", n)
	for id, calls := range w.Calls() {
		if calls != 2 {
			t.Errorf("%s: %d calls", id, calls)
		}
	}
}

// What dies again begins afresh and tells of its life before.
func TestReplayedDiesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	deadline := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	w.put(t, "b", `{"messages":[{"role":"user","content":"`+doomed+`"}]}`, nats.MsgIdHdr, "mine",
		producer.HeaderDeadline, deadline, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	w.start(t)
	first := w.letter(t, "b", "mine")
	w.drained(t)
	for replays := 1; replays <= 3; replays++ {
		_, err := w.store.Replay(t.Context(), consumer.Filter{IDs: []string{"b/mine"}}, consumer.Replay{})
		check(t, err)
		eventually(t, "it dies again", func() bool {
			l, err := w.store.DeadLetter(t.Context(), "b", "", "mine")
			return err == nil && l.Replays == replays
		})
		w.drained(t)
	}
	l := w.letter(t, "b", "mine")
	if len(l.Attempts) != 1 || len(l.Past) != 3 || l.Deliveries != 1 || l.Trace == "" ||
		l.Headers.Get(producer.HeaderDeadline) != deadline || string(l.Body) != string(first.Body) {
		t.Errorf("letter %+v", l)
	}
	if p := l.Past[0]; p.Class != first.Class || p.Attempts != 1 || !p.Last.Equal(first.Last) {
		t.Errorf("past %+v", p)
	}
	if c := w.counts(t, "b"); c.Dead != 1 || c.Answered != 0 {
		t.Errorf("counts %+v", c)
	}
}

// An expired job is replayed without the deadline that it missed.
func TestReplayOfExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("j", "x"), producer.HeaderDeadline, "2020-01-01T00:00:00Z")
	w.start(t)
	w.letter(t, "b", "j")
	w.drained(t)
	_, err := w.store.Replay(t.Context(), consumer.Filter{Class: policy.Expired}, consumer.Replay{})
	check(t, err)
	w.settled(t, "b", 1)
}

// A replay to another queue and another model.
func TestReplayElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.kill(t, "b", 1)
	_, err := w.store.Replay(t.Context(), consumer.Filter{}, consumer.Replay{Queue: "other", Model: "larger"})
	check(t, err)
	jobs, err := w.js.Stream(t.Context(), producer.Stream)
	check(t, err)
	m, err := jobs.GetLastMsgForSubject(t.Context(), producer.Subject("other", "b"))
	check(t, err)
	var sent struct {
		CustomID string `json:"custom_id"`
		Body     struct {
			Model string `json:"model"`
		} `json:"body"`
	}
	check(t, json.Unmarshal(m.Data, &sent))
	if sent.CustomID != "job-0" || sent.Body.Model != "larger" {
		t.Errorf("sent %s", m.Data)
	}
}
