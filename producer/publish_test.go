package producer_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

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
	s := producer.Submission{Queue: "fast", Batch: "b", Progress: func(b producer.Batch, _ bool) {
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
			seen += len(q.take(t.Context(), t, "jobs.q.b", func(m jetstream.Msg) { check(t, m.DoubleAck(t.Context())) }))
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

// Every job of a batch has the batch's deadline, and one that goes on keeps it.
func TestSubmitWithDeadline(t *testing.T) {
	t.Parallel()
	q := newQueue(t, producer.Config{})
	src, r := validated(t, lines(3))
	deadline := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	b, err := q.Submit(t.Context(), src, r, producer.Submission{Queue: "fast", Batch: "b", Deadline: deadline})
	check(t, err)
	if !b.Deadline.Equal(deadline) {
		t.Errorf("batch %+v", b)
	}
	for _, m := range q.take(t.Context(), t, "jobs.fast.b", nil) {
		if got := m.Headers().Get(producer.HeaderDeadline); got != "2030-01-02T03:04:05.000000006Z" {
			t.Errorf("deadline %q", got)
		}
	}
}
