package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// Counts is how far a batch is, counted in the streams.
type Counts struct {
	Answered int
	Dead     int
	// ByClass splits Dead; filled by CountClasses only.
	ByClass map[policy.Class]int
}

// Ended is how many jobs have an ending.
func (c Counts) Ended() int { return c.Answered + c.Dead }

// Count counts the endings of a batch. A dead letter's marker comes before its entry and goes
// before it too, so while one is written or replayed a dead job may count as answered or an
// answered one as not ended. Ledger tells them apart by the markers themselves.
func (s *Store) Count(ctx context.Context, batch string) (Counts, error) {
	ended, err := count(ctx, s.results, resultSubject(batch, ">"))
	if err != nil {
		return Counts{}, err
	}
	dead, err := count(ctx, s.dead, "dead."+batch+".>")
	dead = min(dead, ended)
	return Counts{Answered: ended - dead, Dead: dead}, err
}

// CountClasses is Count with the dead letters split by class.
func (s *Store) CountClasses(ctx context.Context, batch string) (Counts, error) {
	c, err := s.Count(ctx, batch)
	c.ByClass = map[policy.Class]int{}
	for _, class := range append(policy.Classes(), classDiscarded) {
		if err != nil || c.Dead == 0 {
			break
		}
		var n int
		if n, err = count(ctx, s.dead, deadSubject(batch, class, ">")); n > 0 {
			c.ByClass[class] = n
		}
	}
	return c, err
}

// CountSince counts the endings of a batch that were stored after a time.
func (s *Store) CountSince(ctx context.Context, batch string, since time.Time) (int, error) {
	return countWith(ctx, s.results, jetstream.ConsumerConfig{
		FilterSubject: resultSubject(batch, ">"), DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
}

// count asks the broker how many messages a filter matches.
func count(ctx context.Context, s jetstream.Stream, filter string) (int, error) {
	return countWith(ctx, s, jetstream.ConsumerConfig{FilterSubject: filter})
}

// countFrom counts those at a sequence and after it.
func countFrom(ctx context.Context, s jetstream.Stream, filter string, sequence uint64) (int, error) {
	return countWith(ctx, s, jetstream.ConsumerConfig{
		FilterSubject: filter, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(sequence, 1),
	})
}

// countWith makes a consumer that nobody reads: it knows at once how much it would deliver, with
// a million subjects in some ten milliseconds.
func countWith(ctx context.Context, s jetstream.Stream, c jetstream.ConsumerConfig) (int, error) {
	c.AckPolicy, c.HeadersOnly, c.MemoryStorage, c.Replicas = jetstream.AckNonePolicy, true, true, 1
	c.InactiveThreshold = 5 * time.Second
	cons, err := s.CreateConsumer(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", c.FilterSubject, err)
	}
	info := cons.CachedInfo()
	if err := s.DeleteConsumer(ctx, info.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, fmt.Errorf("count %s: %w", c.FilterSubject, err)
	}
	return int(info.NumPending), nil //nolint:gosec // a count of messages fits
}

// Tally is where the jobs of a batch are. Every job is in one place, so that
// Total = Queued + Running + Waiting + Answered + Dead + Cancelled.
type Tally struct {
	Total int `json:"-"` // as the manifest says
	// Queued jobs were not handed to a worker yet; those still to be submitted are among them.
	Queued int `json:"queued"`
	// Running jobs are with workers, Waiting ones were handed back until their time.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	// Answered, Dead and Cancelled jobs have ended. A cancelled job is one without another
	// ending in a cancelled batch that no worker runs any more.
	Answered  int `json:"answered"`
	Dead      int `json:"dead"`
	Cancelled int `json:"cancelled"`
	// Missing are those of Queued that the store does not hold although they were submitted.
	Missing int `json:"missing,omitempty"`
}

// Ended is how many jobs will not change their place any more.
func (t Tally) Ended() int { return t.Answered + t.Dead + t.Cancelled }

// NewTally parts the jobs of a batch by its manifest, its endings, its lane and how many of its
// jobs workers say they run. The lane must have been read before the endings: a job leaves the
// queue after it has ended, and would otherwise be seen in neither.
func NewTally(b producer.Batch, c Counts, l LaneState, running int) Tally {
	t := Tally{Total: max(b.Total, c.Ended()), Answered: c.Answered, Dead: c.Dead}
	left := t.Total - c.Ended()
	if b.Stopped() {
		t.Running = min(running, left)
		t.Cancelled = left - t.Running
		return t
	}
	held := min(l.Held, left)
	t.Running = min(running, held)
	t.Waiting = held - t.Running
	t.Queued = left - held
	t.Missing = max(left-(b.Total-b.Published)-l.Queued-l.Held, 0)
	return t
}

// Tally reads where the jobs of a batch are.
func (s *Store) Tally(ctx context.Context, b producer.Batch) (Tally, error) {
	lane, err := s.Lane(ctx, b.Queue, b.ID)
	if err != nil {
		return Tally{}, err
	}
	workers, err := s.Workers(ctx)
	if err != nil {
		return Tally{}, err
	}
	c, err := s.Count(ctx, b.ID)
	return NewTally(b, c, lane, Running(workers, b.Queue, b.ID)), err
}

// Running is how many jobs of a batch the workers say they have in hand, as of their last sign of
// life.
func Running(workers []Worker, queue, batch string) (n int) {
	for _, w := range workers {
		n += w.Running[laneName(producer.Subject(queue, batch))]
	}
	return n
}
