package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"nightshift/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write puts a manifest back to how it was.
func (q *queue) write(t *testing.T, b producer.Batch) {
	t.Helper()
	kv, err := q.js.KeyValue(t.Context(), producer.Bucket)
	check(t, err)
	data, err := json.Marshal(b)
	check(t, err)
	_, err = kv.Put(t.Context(), b.ID, data)
	check(t, err)
}

func TestBatches(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	for _, id := range []string{"none", "not a name", ""} {
		if _, err := q.Batch(t.Context(), id); !errors.Is(err, producer.ErrNoBatch) {
			t.Errorf("%q: %v", id, err)
		}
	}
	all, err := q.Batches(t.Context())
	if err != nil || len(all) > 0 {
		t.Errorf("batches %+v, %v", all, err)
	}
	src, r := validated(t, job("a"))
	var ids []string
	for _, id := range []string{"x", "y"} {
		_, err := q.Submit(t.Context(), src, r, producer.Submission{Queue: "q", Batch: id})
		check(t, err)
	}
	all, err = q.Batches(t.Context())
	check(t, err)
	for _, b := range all {
		ids = append(ids, b.ID)
	}
	if diff := cmp.Diff([]string{"x", "y"}, sorted(ids)); diff != "" {
		t.Error(diff)
	}
}

func TestBatchID(t *testing.T) {
	t.Parallel()
	one := producer.BatchID([32]byte{1}, "")
	if !producer.ValidName(one) || len(one) != 13 {
		t.Errorf("id %q", one)
	}
	if one == producer.BatchID([32]byte{1}, "m") || one == producer.BatchID([32]byte{2}, "") {
		t.Error("two batches with one id")
	}
}

// New leaves a stream as its operator made it.
func TestNewKeepsTheStream(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{MaxBytes: 1 << 20})
	_, err := producer.New(t.Context(), q.js, producer.Config{MaxBytes: 2 << 20})
	check(t, err)
	s, err := q.js.Stream(t.Context(), producer.Stream)
	check(t, err)
	c := s.CachedInfo().Config
	if c.MaxBytes != 1<<20 || c.Retention != jetstream.WorkQueuePolicy || c.Discard != jetstream.DiscardNew {
		t.Errorf("config %+v", c)
	}
}

func message(subject, data string, header ...string) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = []byte(data)
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	return m
}

// All or nothing, and a refusal says by its code why; each can then go by itself.
func TestPublishAtomicRefusals(t *testing.T) {
	t.Parallel()
	const expect = jetstream.ExpectedLastSubjSeqHeader
	many := make([]*nats.Msg, producer.MaxAtomic+1)
	for i := range many {
		many[i] = message("jobs.q", "x")
	}
	for _, c := range []struct {
		name string
		msgs []*nats.Msg
		code jetstream.ErrorCode
	}{
		{"msg id", []*nats.Msg{message("jobs.q", "x"), message("jobs.q", "x", nats.MsgIdHdr, "old")}, 10201},
		{"sequence", []*nats.Msg{message("jobs.r", "x", expect, "0"), message("jobs.q", "x", expect, "0")}, 10071},
		{"too many", many, 10199},
		{"full", []*nats.Msg{message("jobs.q", "x"), message("jobs.q", string(make([]byte, 2<<20)))}, 10077},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, producer.Config{MaxBytes: 1 << 20})
			check(t, q.Publish(t.Context(), "q", "old", []byte("x")))
			err := producer.PublishAtomic(t.Context(), q.js.Conn(), c.msgs)
			var refused *jetstream.APIError
			if !errors.As(err, &refused) || refused.ErrorCode != c.code {
				t.Fatalf("error %v", err)
			}
			if got := q.take(t.Context(), t, "jobs.>", nil); len(got) != 1 {
				t.Errorf("%d messages", len(got))
			}
			if _, err := q.js.PublishMsg(t.Context(), c.msgs[0]); err != nil {
				t.Errorf("by itself: %v", err)
			}
		})
	}
}

// What never reaches the server is no refusal by it, and leaves the others fit to be sent.
func TestPublishAtomicTooLarge(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	msgs := []*nats.Msg{
		message("jobs.q", "x"), message("jobs.q", string(make([]byte, q.js.Conn().MaxPayload()+1))), message("jobs.q", "x"),
	}
	if err := producer.PublishAtomic(t.Context(), q.js.Conn(), msgs); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("error %v", err)
	}
	if _, err := q.js.PublishMsg(t.Context(), msgs[0]); err != nil {
		t.Errorf("by itself: %v", err)
	}
	check(t, producer.PublishAtomic(t.Context(), q.js.Conn(), nil))
}

// Whoever gives up in the middle of it learns what became of it, or that nothing did: who asks next
// must not find less than is stored a moment later.
func TestPublishAtomicGivenUp(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	msgs := make([]*nats.Msg, 300)
	for i := range msgs {
		msgs[i] = message("jobs.q", "x")
	}
	jobs, err := q.js.Stream(t.Context(), producer.Stream)
	check(t, err)
	count := func() uint64 {
		info, err := jobs.Info(t.Context())
		check(t, err)
		return info.State.Msgs
	}
	begun := time.Now()
	check(t, producer.PublishAtomic(t.Context(), q.js.Conn(), msgs))
	takes := time.Since(begun)
	want := count()
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(rand.N(takes), cancel)
		err := producer.PublishAtomic(ctx, q.js.Conn(), msgs)
		cancel()
		if err == nil {
			want += uint64(len(msgs))
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if got := count(); got != want {
			t.Fatalf("%d messages, want %d, after %v", got, want, err)
		}
	}
}
