package consumer_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

func TestBareBodyIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "", body("one"), nats.MsgIdHdr, "mine")
	w.put(t, "", body("two"))
	w.start(t)

	for _, key := range []string{"mine", "s2"} {
		e := w.ending(t, producer.LooseBatch, key)
		var got struct {
			CustomID string `json:"custom_id"`
			Response struct {
				Status int `json:"status_code"`
				Body   struct {
					Object string `json:"object"`
				} `json:"body"`
			} `json:"response"`
		}
		if err := json.Unmarshal(e.Line, &got); err != nil || e.Dead {
			t.Fatalf("ending %+v: %v", e, err)
		}
		if got.CustomID != key || got.Response.Status != 200 || got.Response.Body.Object != "chat.completion" {
			t.Errorf("line %s", e.Line)
		}
		if e.Meta.Calls != 1 || e.Meta.Provider != "acme" || e.Meta.Model != "m" || e.Meta.Again != 0 {
			t.Errorf("meta %+v", e.Meta)
		}
	}
	w.drained(t)
}

func TestGarbageIsMalformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const garbage = "\x00\xffnot {json\r\n"
	w.put(t, "", garbage)
	run := w.start(t)

	l := w.letter(t, producer.LooseBatch, "s1")
	w.drained(t)
	if diff := cmp.Diff(garbage, string(l.Body)); diff != "" {
		t.Error(diff)
	}
	want := consumer.DeadLetter{
		Key: "s1", Queue: "default", Batch: producer.LooseBatch, Class: policy.Malformed, Owner: "author",
		Remedy: policy.Malformed.Remedy(), Rule: "decode", Message: l.Message, Deliveries: 1,
		Worker: l.Worker, First: l.Last, Last: l.Last, Published: l.Published, Body: l.Body,
		Job: 1, Entry: 1, Stored: l.Stored, Size: len(garbage),
	}
	if diff := cmp.Diff(want, l); diff != "" || l.Message == "" {
		t.Error(diff)
	}
	if e := w.ending(t, producer.LooseBatch, "s1"); !e.Dead || e.Meta.Class != policy.Malformed || len(e.Line) > 0 {
		t.Errorf("marker %+v", e)
	}
	eventually(t, "it is counted", func() bool { return run.Stats().Dead[policy.Malformed] == 1 })
	if n := w.Stats().Calls; n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestUnroutedQueueKeepsItsJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	check(t, w.prod.Publish(t.Context(), "nobodys", "", []byte(body("x"))))
	w.put(t, "", body("y"), nats.MsgIdHdr, "y")
	w.start(t)
	w.ending(t, producer.LooseBatch, "y")

	want := []consumer.QueueState{{Name: "default", Routed: true}, {Name: "nobodys", Queued: 1}}
	eventually(t, "the routed queue is empty", func() bool {
		got, err := w.store.Queues(t.Context())
		check(t, err)
		return cmp.Equal(want, got)
	})
}

func TestDeadlinePassed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	past := time.Now().Add(-time.Second).Format(time.RFC3339)
	w.put(t, "b", line("late", "x"), producer.HeaderDeadline, past)
	w.put(t, "b", line("soon", "x"), producer.HeaderDeadline, time.Now().Add(time.Hour).Format(time.RFC3339))
	w.start(t)

	if l := w.letter(t, "b", "late"); l.Class != policy.Expired || l.Owner != "author" {
		t.Errorf("letter %+v", l)
	}
	if e := w.ending(t, "b", "soon"); e.Dead {
		t.Errorf("ending %+v", e)
	}
	if n := w.calls("b", "late"); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// A wait that would outlast the deadline ends the job at once, under its own class.
func TestDeadlineBeforeTheNextTry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	soon := time.Now().Add(10 * time.Second).Format(time.RFC3339)
	w.put(t, "b", line("j", "[[sim:429x9,retry_after=60]]"), producer.HeaderDeadline, soon)
	run := w.start(t)

	if l := w.letter(t, "b", "j"); l.Class != policy.Expired || l.Waits != 1 || l.LastWait.Class != policy.RateLimited {
		t.Errorf("letter %+v", l)
	}
	w.drained(t)
	eventually(t, "it is counted", func() bool { return run.Stats().Dead[policy.Expired] == 1 })
}
