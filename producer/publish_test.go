package producer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/deploy/broker/brokertest"
	"nightshift/producer"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// queue is a broker with a producer.
type queue struct {
	*producer.Producer
	js jetstream.JetStream
}

func newQueue(tb testing.TB, c producer.Config) *queue {
	tb.Helper()
	b := brokertest.New(tb)
	js, err := jetstream.New(b.Conn())
	check(tb, err)
	p, err := producer.New(tb.Context(), js, c)
	check(tb, err)
	return &queue{p, js}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func check(tb fataler, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(job(fmt.Sprintf("job-%d", i)) + "\n")
	}
	return b.String()
}

// validated opens a batch file and validates it.
func validated(tb testing.TB, text string) (*producer.Source, producer.Report) {
	tb.Helper()
	src := open(tb, text)
	r, err := src.Validate(tb.Context(), producer.Limits{})
	check(tb, err)
	return src, r
}

// take reads what is on a queue, in order, and settles it if it is told to.
func (q *queue) take(ctx context.Context, tb fataler, subject string, settle func(jetstream.Msg)) []jetstream.Msg {
	tb.Helper()
	s, err := q.js.Stream(ctx, producer.Stream)
	check(tb, err)
	var all []jetstream.Msg
	c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "test", FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	})
	check(tb, err)
	for {
		batch, err := c.FetchNoWait(1000)
		check(tb, err)
		got := len(all)
		for m := range batch.Messages() {
			all = append(all, m)
			if settle != nil {
				settle(m)
			}
		}
		if len(all) == got {
			return all
		}
	}
}

// keys gives the jobs of messages as their consumer sees them.
func keys(tb fataler, all []jetstream.Msg) (out []string, looks int) {
	tb.Helper()
	for _, m := range all {
		meta, err := m.Metadata()
		check(tb, err)
		j, _ := producer.Decode(m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream)
		out = append(out, j.Key)
		if m.Headers().Get(producer.HeaderLook) != "" {
			looks++
		}
	}
	return out, looks
}

func numbered0(n int) []string {
	var all []string
	for i := range n {
		all = append(all, "job-"+strconv.Itoa(i))
	}
	return all
}

func TestPublish(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	for range 2 { // the second is dropped by its id
		check(t, q.Publish(t.Context(), "fast", "mine", []byte(body)))
	}
	check(t, q.Publish(t.Context(), "fast", "", []byte(body)))
	got, _ := keys(t, q.take(t.Context(), t, "jobs.fast", nil))
	if diff := cmp.Diff([]string{"mine", "s2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	const n = 2500
	src, r := validated(t, lines(n))
	var marks []int
	s := producer.Submission{Queue: "fast", Batch: "b", Progress: func(b producer.Batch, full bool) {
		marks = append(marks, b.Published)
	}}
	b, err := q.Submit(t.Context(), src, r, s)
	check(t, err)
	if diff := cmp.Diff([]int{1000, 2000, n}, marks); diff != "" {
		t.Error(diff)
	}
	if !b.Done() || b.Total != n || b.Queue != "fast" || b.File != "batch.jsonl" || b.Submitted.IsZero() {
		t.Errorf("batch %+v", b)
	}
	again, err := q.Submit(t.Context(), src, r, s)
	check(t, err)
	if !again.Submitted.Equal(b.Submitted) {
		t.Errorf("batch %+v, then %+v", b, again)
	}
	got, looks := keys(t, q.take(t.Context(), t, "jobs.fast.b", nil))
	if diff := cmp.Diff(numbered0(n), got); diff != "" || looks != 0 {
		t.Errorf("%d look: %s", looks, diff)
	}
}

// Interrupted wherever and however often, with or without workers in between: every job was on
// the queue, and once, as nobody but us was killed.
func TestSubmitGoesOn(t *testing.T) {
	t.Parallel()
	const n, rounds = 3300, 4
	src, r := validated(t, lines(n))
	for seed := range uint64(rounds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 1))
			q := newQueue(t, producer.Config{})
			seen := map[string]int{}
			settle := func(m jetstream.Msg) {
				one, _ := keys(t, []jetstream.Msg{m})
				seen[one[0]]++
				check(t, m.Ack())
			}
			s := producer.Submission{Queue: "q", Batch: "b", Ended: func(_ context.Context, _, key string) (bool, error) {
				return seen[key] > 0, nil
			}}
			for q.submitSome(t, src, r, s, dice) {
				if dice.IntN(2) == 0 {
					q.take(t.Context(), t, "jobs.q.b", settle)
				}
			}
			q.take(t.Context(), t, "jobs.q.b", settle)
			want := map[string]int{}
			for _, key := range numbered0(n) {
				want[key] = 1
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// submitSome submits until it is interrupted, at the end of a chunk or in the middle of one, and
// says whether there is more to do.
func (q *queue) submitSome(
	t *testing.T, src *producer.Source, r producer.Report, s producer.Submission, dice *rand.Rand,
) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	chunks, delay := dice.IntN(3), time.Duration(dice.IntN(20_000))*time.Microsecond
	s.Progress = func(producer.Batch, bool) {
		if chunks--; chunks <= 0 {
			time.AfterFunc(delay, cancel)
		}
	}
	if chunks == 0 {
		time.AfterFunc(delay, cancel)
	}
	b, err := q.Submit(ctx, src, r, s)
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return err != nil || !b.Done()
}

// The interruption came after the chunk was stored and before the mark was moved.
func TestSubmitFindsTheChunkAfterTheMark(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		stored bool // the chunk after the mark
		worked bool // its jobs have ended
		look   int
	}{
		{"not stored", false, false, 1000}, {"stored", true, false, 0}, {"stored and ended", true, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const n = 3000
			q := newQueue(t, producer.Config{})
			src, r := validated(t, lines(n))
			ended := map[string]bool{}
			s := producer.Submission{Queue: "q", Batch: "b", Ended: func(_ context.Context, _, key string) (bool, error) {
				return ended[key], nil
			}}
			q.interrupt(t, src, r, s, c.stored)
			all := map[string]int{}
			if c.worked {
				got, _ := keys(t, q.take(t.Context(), t, "jobs.q.b", func(m jetstream.Msg) { check(t, m.Ack()) }))
				for _, key := range got {
					ended[key] = true
					all[key]++
				}
			}
			b, err := q.Submit(t.Context(), src, r, s)
			check(t, err)
			got, looks := keys(t, q.take(t.Context(), t, "jobs.q.b", nil))
			for _, key := range got {
				all[key]++
			}
			if len(all) != n || slices.Max(slices.Collect(maps.Values(all))) != 1 || b.Published != n || looks != c.look {
				t.Errorf("%d jobs, at most %d times, %d look, batch %+v", len(all), slices.Max(slices.Collect(maps.Values(all))), looks, b)
			}
		})
	}
}

// interrupt submits one chunk; stored says whether a second was stored and its mark not moved.
func (q *queue) interrupt(t *testing.T, src *producer.Source, r producer.Report, s producer.Submission, stored bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var at producer.Batch
	last := 1
	if stored {
		last = 2
	}
	s.Progress = func(b producer.Batch, _ bool) {
		if last--; last == 0 {
			cancel()
		}
		if b.Published == producer.MaxAtomic {
			at = b
		}
	}
	if _, err := q.Submit(ctx, src, r, s); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if stored {
		q.write(t, at)
	}
}

// Two at once: one stops with ErrTaken, and no job is lost.
func TestTwoSubmitters(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	const n, submitters = 5000, 3
	src, r := validated(t, lines(n))
	errs := make(chan error, submitters)
	for range submitters {
		go func() {
			_, err := q.Submit(t.Context(), src, r, producer.Submission{Queue: "q", Batch: "b"})
			errs <- err
		}()
	}
	done := 0
	for range submitters {
		if err := <-errs; err == nil {
			done++
		} else if !errors.Is(err, producer.ErrTaken) {
			t.Error(err)
		}
	}
	b, err := q.Batch(t.Context(), "b")
	check(t, err)
	if done == 0 || !b.Done() {
		t.Errorf("%d done, batch %+v", done, b)
	}
	all := map[string]int{}
	got, _ := keys(t, q.take(t.Context(), t, "jobs.q.b", nil))
	for _, key := range got {
		all[key]++
	}
	if len(all) != n {
		t.Errorf("%d jobs", len(all))
	}
}

func TestSubmitInvalidLines(t *testing.T) {
	t.Parallel()
	text := job("a") + "\n" + `{"custom_id":"b"}` + "\n" + job("a") + "\nnonsense\n" + job("c") + "\n"
	for _, skip := range []bool{false, true} {
		t.Run(strconv.FormatBool(skip), func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, producer.Config{})
			src, r := validated(t, text)
			b, err := q.Submit(t.Context(), src, r, producer.Submission{Queue: "q", Batch: "b", SkipInvalid: skip})
			check(t, err)
			want, total := []string{"a", "c"}, 2
			if skip {
				want, total = []string{"a", "l2", "l3", "l4", "c"}, 5
			}
			all := q.take(t.Context(), t, "jobs.q.b", nil)
			got, _ := keys(t, all)
			if diff := cmp.Diff(want, got); diff != "" || b.Total != total || b.Invalid != total-2 {
				t.Errorf("batch %+v: %s", b, diff)
			}
			for _, m := range all {
				_, err := producer.Decode(m.Subject(), m.Headers(), m.Data(), 1)
				if invalid := m.Headers().Get(producer.HeaderInvalid) != ""; invalid != (err != nil) {
					t.Errorf("%s %v: %v", m.Data(), m.Headers(), err)
				}
			}
		})
	}
}

// What was begun goes on as it was begun, whatever the second call says.
func TestSubmitGoesOnAsItBegan(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	src, r := validated(t, "nonsense\n"+lines(2000)+"nonsense\n")
	s := producer.Submission{Queue: "first", Batch: "b", SkipInvalid: true}
	q.interrupt(t, src, r, s, false)
	s.Queue, s.SkipInvalid, s.Progress = "second", false, nil
	b, err := q.Submit(t.Context(), src, r, s)
	check(t, err)
	want := append(append([]string{"l1"}, numbered0(2000)...), "l2002")
	got, _ := keys(t, q.take(t.Context(), t, "jobs.first.b", nil))
	if diff := cmp.Diff(want, got); diff != "" || b.Queue != "first" {
		t.Errorf("batch %+v: %s", b, diff)
	}
}

// A full queue makes submitting wait for workers.
func TestSubmitToAFullQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{MaxBytes: 400 << 10})
	const n = 3500
	src, r := validated(t, lines(n))
	full := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		_, err := q.Submit(t.Context(), src, r, producer.Submission{
			Queue: "q", Batch: "b",
			Progress: func(_ producer.Batch, isFull bool) {
				if isFull {
					select {
					case full <- struct{}{}:
					default:
					}
				}
			},
		})
		done <- err
	}()
	seen := 0
	for end := time.After(patience); ; {
		select {
		case <-full:
			seen += len(q.take(t.Context(), t, "jobs.q.b", func(m jetstream.Msg) { check(t, m.Ack()) }))
		case err := <-done:
			check(t, err)
			if seen += len(q.take(t.Context(), t, "jobs.q.b", nil)); seen != n {
				t.Errorf("%d jobs", seen)
			}
			return
		case <-end:
			t.Fatal("submitting does not end")
		}
	}
}
