package producer_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

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
				check(t, m.DoubleAck(t.Context()))
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
				got, _ := keys(t, q.take(t.Context(), t, "jobs.q.b", func(m jetstream.Msg) { check(t, m.DoubleAck(t.Context())) }))
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
