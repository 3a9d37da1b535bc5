package consumer

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// Endings goes through the endings of a batch in the order they came. It reads in large
// steps and holds none of them.
func (s *Store) Endings(ctx context.Context, batch string) iter.Seq2[Ending, error] {
	return s.EndingsFrom(ctx, batch, 1)
}

// EndingsFrom is Endings from a sequence of RESULTS on.
func (s *Store) EndingsFrom(ctx context.Context, batch string, sequence uint64) iter.Seq2[Ending, error] {
	return func(yield func(Ending, error) bool) {
		for m, err := range scanFrom(ctx, s.results, resultSubject(batch, ">"), sequence, false) {
			if err != nil {
				yield(Ending{}, err)
				return
			}
			e, err := readEnding(m.Subject(), m.Headers(), m.Data())
			if meta, merr := m.Metadata(); err == nil && merr == nil { // else scanFrom ends by it
				e.Sequence = meta.Sequence.Stream
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// DeadLetters goes through the dead letters of a batch, or of all when batch is empty, oldest
// first.
func (s *Store) DeadLetters(ctx context.Context, batch string) iter.Seq2[DeadLetter, error] {
	return s.DeadLettersFrom(ctx, batch, 1)
}

// DeadLettersFrom is DeadLetters from a sequence of DEAD on.
func (s *Store) DeadLettersFrom(ctx context.Context, batch string, sequence uint64) iter.Seq2[DeadLetter, error] {
	if batch == "" {
		batch = "*"
	}
	return func(yield func(DeadLetter, error) bool) {
		for m, err := range scanFrom(ctx, s.dead, "dead."+batch+".>", sequence, false) {
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			l, err := letterOf(m)
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// scanWait bounds the wait for the next message of a scan.
const scanWait = 20 * time.Second

// scanFrom reads what a filter matches now, in stream order from a sequence on, perhaps without
// the bodies.
func scanFrom(
	ctx context.Context, s jetstream.Stream, filter string, sequence uint64, headersOnly bool,
) iter.Seq2[jetstream.Msg, error] {
	return func(yield func(jetstream.Msg, error) bool) {
		total, err := countFrom(ctx, s, filter, sequence)
		if err != nil || total == 0 {
			if err != nil {
				yield(nil, err)
			}
			return
		}
		cons, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{filter}, HeadersOnly: headersOnly,
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence,
		})
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", filter, err))
			return
		}
		it, err := cons.Messages(jetstream.PullMaxMessages(1000),
			jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", filter, err))
			return
		}
		defer func() {
			it.Stop()
			dismiss(ctx, s, cons)
		}()
		for {
			m, err := it.Next(jetstream.NextMaxWait(scanWait))
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", filter, err))
				return
			}
			meta, err := m.Metadata()
			if !yield(m, err) || err != nil || meta.NumPending == 0 {
				return
			}
		}
	}
}

// dismiss removes the consumer of a scan, which the broker would keep for minutes: with every purge
// it counts anew what each of them has before it.
func dismiss(ctx context.Context, s jetstream.Stream, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellWait)
	defer cancel()
	if info := cons.CachedInfo(); info != nil {
		_ = s.DeleteConsumer(ctx, info.Name) // the broker removes it in the end
	}
}

// Holds lists the providers at rest.
func (s *Store) Holds(ctx context.Context) ([]policy.Hold, error) {
	return present(ctx, s.fleet, holdPrefix, decodeHold)
}

// Workers lists the workers that have shown a sign of life lately.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	all, err := present(ctx, s.fleet, workerPrefix, decodeWorker)
	return slices.DeleteFunc(all, func(w Worker) bool { return time.Since(w.Beat) > 3*beatEvery }), err
}

// present reads what stands under a prefix of a bucket now.
func present[T any](ctx context.Context, kv jetstream.KeyValue, prefix string,
	decode func(jetstream.KeyValueEntry) (T, error),
) ([]T, error) {
	w, err := kv.Watch(ctx, prefix+">", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read %s of bucket %s: %w", prefix, kv.Bucket(), err)
	}
	defer func() { _ = w.Stop() }()
	var all []T
	for {
		select {
		case e := <-w.Updates():
			if e == nil { // all that is there has come
				return all, nil
			}
			v, err := decode(e)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// queueOf is the queue token of a subject of JOBS.
func queueOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	queue, _, _ := strings.Cut(rest, ".")
	return queue
}
