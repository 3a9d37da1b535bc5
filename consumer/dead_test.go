package consumer_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

const terminated = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"

// A marker without its entry: the entry is written, under the marker's class and with the
// history of the job, and nobody is called.
func TestMarkerWithoutEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	reasons, err := w.broker.Conn().SubscribeSync(terminated)
	check(t, err)
	at := time.Now().UTC().Truncate(time.Second)
	past := policy.History{
		Calls: 3, Waits: 2, LastWait: &policy.Attempt{At: at, Class: policy.RateLimited},
		Attempts: []policy.Attempt{{At: at, Class: policy.ServerError, Status: 500, Message: "oh"}},
	}
	history(t, w, "b", "j", past)
	w.mark(t, "b", "j", policy.ContentFiltered)
	sent := line("j", "x")
	w.put(t, "b", sent, producer.HeaderLook, "1", producer.HeaderLine, "7")
	w.start(t)

	l := w.letter(t, "b", "j")
	w.drained(t)
	want := consumer.DeadLetter{
		Key: "j", CustomID: "j", Queue: "default", Batch: "b", Class: policy.ContentFiltered, Owner: "author",
		Remedy: policy.ContentFiltered.Remedy(), Rule: "entry missing", Attempts: past.Attempts, Waits: 2,
		LastWait: past.LastWait, Calls: past.Calls, Deliveries: 1, Line: 7, Worker: l.Worker, First: at, Last: l.Last,
		Published: l.Published, Body: []byte(sent), Size: len(sent), Model: l.Model, Job: 1, Entry: 1, Stored: l.Stored,
		Headers: nats.Header{producer.HeaderLine: {"7"}},
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Error(diff)
	}
	if n := w.Stats().Calls; n != 0 {
		t.Errorf("%d calls", n)
	}
	if diff := cmp.Diff(policy.ContentFiltered, reason(t, reasons)); diff != "" {
		t.Error(diff)
	}
}

// reason reads what TermWithReason told.
func reason(t *testing.T, s *nats.Subscription) policy.Class {
	t.Helper()
	m, err := s.NextMsg(patience)
	check(t, err)
	var advisory struct {
		Reason policy.Class `json:"reason"`
	}
	check(t, json.Unmarshal(m.Data, &advisory))
	return advisory.Reason
}

// The marker comes while another worker calls: whatever that call brings, the marker stays the
// ending and gets its entry, under its own class.
func TestMarkerDuringTheCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("good", "x"))
	w.put(t, "b", line("bad", "[[sim:context_length_exceeded]]"))
	answers := make(chan struct{})
	run := w.start(t, func(c *consumer.Config) {
		c.Accounts[0].Provider = slow{c.Accounts[0].Provider, answers}
	})
	eventually(t, "the calls", func() bool { return w.Stats().Calls == 2 })
	w.mark(t, "b", "good", policy.CrashLoop)
	w.mark(t, "b", "bad", policy.CrashLoop)
	close(answers)
	w.drained(t)
	want := consumer.Counts{Dead: 2, ByClass: map[policy.Class]int{policy.CrashLoop: 2}}
	if diff := cmp.Diff(want, w.counts(t, "b")); diff != "" {
		t.Error(diff)
	}
	if l := w.letter(t, "b", "bad"); l.Owner != "operator" || l.Code != "context_length_exceeded" {
		t.Errorf("letter %+v", l)
	}
	eventually(t, "it is counted", func() bool { return run.Stats().Doubled == 1 })
}

// slow is a provider whose answers come when the channel is closed.
type slow struct {
	consumer.Provider
	answers <-chan struct{}
}

func (s slow) Call(ctx context.Context, c policy.Call) policy.Reply {
	r := s.Provider.Call(ctx, c)
	select {
	case <-s.answers:
	case <-ctx.Done():
	}
	return r
}

// Both marker and entry stand, only the broker was not told.
func TestEntryBeforeTheTerm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("j", "[[sim:string_above_max_length]]"))
	first := w.start(t)
	before := w.letter(t, "b", "j")
	w.drained(t)
	first.stop()
	check(t, first.wait(t))
	w.put(t, "b", line("j", "x"), producer.HeaderLook, "1")
	w.start(t)
	w.drained(t)
	if diff := cmp.Diff(before, w.letter(t, "b", "j")); diff != "" {
		t.Error(diff)
	}
	if n := w.calls("b", "j"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestDeadLetterOfTheProvidersWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("a job", "[[sim:context_length_exceeded]]"),
		"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	w.start(t)
	key := producer.Key("a job")
	l := w.letter(t, "b", key)
	w.drained(t)
	if l.CustomID != "a job" || l.Class != policy.ContextOverflow || l.Status != 400 ||
		l.Code != "context_length_exceeded" || l.RequestID == "" || l.Trace == "" || len(l.Attempts) != 1 {
		t.Errorf("letter %+v", l)
	}
	var out struct {
		CustomID string `json:"custom_id"`
		Response struct {
			Status int `json:"status_code"`
			Body   struct {
				Error struct {
					Message string `json:"message"`
				} `json:"error"`
			} `json:"body"`
		} `json:"response"`
	}
	check(t, json.Unmarshal(l.ErrorLine(), &out))
	if out.CustomID != "a job" || out.Response.Status != 400 || out.Response.Body.Error.Message != l.Message {
		t.Errorf("error line %s", l.ErrorLine())
	}
	for one, err := range w.store.DeadLetters(t.Context(), "") {
		check(t, err)
		if diff := cmp.Diff(l, one); diff != "" {
			t.Error(diff)
		}
	}
}

// An answer that the broker cannot take must not be paid for again and again, nor keep others.
func TestAnswerTooLargeForTheBroker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	size := int(w.broker.Conn().MaxPayload())
	huge := filler(size)
	big := answering(t, func(id string) string {
		if id == "b/big" {
			return huge
		}
		return `{"choices":[{}]}`
	})
	w.put(t, "b", line("big", "x"))
	w.putMany(t, "b", 20, "x")
	run := w.start(t, func(c *consumer.Config) { c.Accounts[0].Provider, c.SyncAlways = big, true })
	l := w.letter(t, "b", "big")
	w.drained(t)
	if l.Class != policy.TooLarge || l.Status != 200 {
		t.Errorf("letter %+v", l)
	}
	if s := run.Stats(); s.Calls != 21 || w.counts(t, "b").Answered != 20 {
		t.Errorf("stats %+v", s)
	}
}
