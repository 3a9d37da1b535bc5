package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/consumer"
	"nightshift/producer"
)

// sickness is a provider that refuses some jobs until it is healed.
type sickness struct {
	provider consumer.Provider
	healed   atomic.Bool
}

func (s *sickness) now() { s.healed.Store(true) }

func (s *sickness) provide(c *consumer.Config) { c.Accounts[0].Provider = s.provider }

// sick refuses the jobs whose ids begin like that.
func (w *world) sick(t *testing.T, prefix string) *sickness {
	t.Helper()
	s := &sickness{}
	s.provider = serving(t, func(out http.ResponseWriter, r *http.Request) {
		_, key, _ := strings.Cut(r.Header.Get("X-Client-Request-Id"), "/")
		if strings.HasPrefix(key, prefix) && !s.healed.Load() {
			out.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(out, `{"error":{"code":"context_length_exceeded","type":"invalid_request_error"}}`)
			return
		}
		time.Sleep(2 * time.Millisecond)
		_, _ = fmt.Fprint(out, `{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}]}`)
	})
	return s
}

// shop is one random history of a batch.
type shop struct {
	*world
	t     *testing.T
	ill   *sickness
	batch producer.Batch
	src   *producer.Source
	rep   producer.Report
	run   *worker
	cut   func() // ends the worker as a crash does
	sub   producer.Submission
}

// submitNew makes a batch of its own from a file.
func (s *shop) submitNew(rt *rapid.T, name string) {
	n := rapid.IntRange(1, 30).Draw(rt, "jobs")
	var text strings.Builder
	for i := range n {
		id := fmt.Sprintf("good%d", i)
		if i%7 == 3 {
			id = fmt.Sprintf("bad%d", i)
		}
		text.WriteString(line(id, "x") + "\n")
	}
	path := filepath.Join(s.t.TempDir(), "in.jsonl")
	check(s.t, os.WriteFile(path, []byte(text.String()), 0o600))
	var err error
	s.src, err = producer.Open(path)
	check(s.t, err)
	s.t.Cleanup(func() { _ = s.src.Close() })
	s.rep, err = s.src.Validate(s.t.Context(), producer.Limits{})
	check(s.t, err)
	s.sub = producer.Submission{Queue: name, Batch: name}
	s.submit(rt)
}

func (s *shop) submit(*rapid.T) {
	b, err := s.prod.Submit(s.t.Context(), s.src, s.rep, s.sub)
	if !errors.Is(err, producer.ErrCancelled) {
		check(s.t, err)
	}
	s.batch = b
}

func (s *shop) work(*rapid.T) {
	if s.run != nil {
		return
	}
	conn := s.connect(s.t)
	s.cut = conn.Close
	s.run = s.startOn(s.t, stream(s.t, conn), s.ill.provide, func(c *consumer.Config) {
		c.Queues[0].Name, c.AckWait = s.sub.Queue, time.Second
	})
}

// crash takes the connection away: nothing in hand can be settled any more.
func (s *shop) crash(*rapid.T) {
	if s.run == nil {
		return
	}
	s.cut()
	_ = s.run.wait(s.t)
	s.run = nil
}

func (s *shop) rest(*rapid.T) { time.Sleep(3 * time.Millisecond) }

func (s *shop) replay(*rapid.T) {
	_, err := s.store.Replay(s.t.Context(), consumer.Filter{Batch: s.batch.ID}, consumer.Replay{})
	check(s.t, err)
}

func (s *shop) heal(*rapid.T) { s.ill.now() }

func (s *shop) discard(*rapid.T) {
	_, err := s.store.Discard(s.t.Context(), consumer.Filter{Batch: s.batch.ID}, "not worth it")
	check(s.t, err)
}

func (s *shop) cancel(rt *rapid.T) {
	b, err := s.prod.Stop(s.t.Context(), s.batch.ID)
	check(s.t, err)
	_, err = s.store.Cancel(s.t.Context(), b, rapid.Bool().Draw(rt, "now"))
	check(s.t, err)
}

func (s *shop) again(rt *rapid.T) {
	_, err := s.prod.Restart(s.t.Context(), s.batch.ID)
	check(s.t, err)
	s.submit(rt)
}

// holds checks promise 2 as it is at this moment.
func (s *shop) holds(rt *rapid.T) consumer.Tally {
	ctx := s.t.Context()
	b, err := s.prod.Batch(ctx, s.batch.ID)
	check(s.t, err)
	t, err := s.store.Tally(ctx, b)
	check(s.t, err)
	sum := t.Queued + t.Running + t.Waiting + t.Answered + t.Dead + t.Cancelled
	least := min(t.Queued, t.Running, t.Waiting, t.Answered, t.Dead, t.Cancelled)
	if sum != b.Total || t.Total != b.Total || least < 0 || t.Missing != 0 {
		rt.Fatalf("%+v of %d jobs", t, b.Total)
	}
	return t
}

// ends works off the rest and looks for each job: each has one ending, or was cancelled.
func (s *shop) ends(rt *rapid.T) {
	s.work(rt)
	eventually(s.t, "all has ended", func() bool {
		t := s.holds(rt)
		return t.Ended() == t.Total && s.left() == 0
	})
	t, ctx := s.holds(rt), s.t.Context()
	l, err := s.store.Ledger(ctx, s.batch.ID, 0)
	check(s.t, err)
	if l.Answered != t.Answered || l.Dead != t.Dead {
		rt.Fatalf("ledger %+v, tally %+v", l, t)
	}
	inv, err := s.store.Inventory(ctx, s.batch)
	check(s.t, err)
	for p := range inv.All() {
		if p != consumer.Answered && p != consumer.Marked|consumer.Buried {
			rt.Fatalf("a job is in places %b", p)
		}
	}
	if inv.Len()+t.Cancelled != t.Total {
		rt.Fatalf("%d jobs have ended and %d were cancelled, of %d", inv.Len(), t.Cancelled, t.Total)
	}
	s.run.stop()
	check(s.t, s.run.wait(s.t))
}

func (s *shop) left() int {
	n, err := s.store.Left(context.WithoutCancel(s.t.Context()), s.sub.Queue, s.batch.ID)
	check(s.t, err)
	return n
}

// Whatever happens to a batch, at every step each of its jobs is in one place.
func TestEquationHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		s := &shop{world: w, t: t, ill: w.sick(t, "bad")}
		s.submitNew(rt, fmt.Sprintf("batch%d", n))
		acts := []func(*rapid.T){s.work, s.rest, s.crash, s.replay, s.heal, s.discard, s.cancel, s.again, s.submit}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			rapid.SampledFrom(acts).Draw(rt, "act")(rt)
			s.holds(rt)
		}
		s.ends(rt)
	})
}
