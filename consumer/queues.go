package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

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

// LaneState is what a queue holds of one batch, or of the jobs without any when Batch is empty.
type LaneState struct {
	Queue, Batch string
	// Queued and Held are as in QueueState.
	Queued, Held int

	subject, durable string // durable is empty where workers have not opened it
}

// Lanes lists the parts of all queues that hold jobs or were opened by workers, by queue and
// batch.
func (s *Store) Lanes(ctx context.Context) ([]LaneState, error) {
	subjects, err := s.subjects(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*LaneState{}
	at := func(subject string) *LaneState {
		name := laneName(subject)
		if byName[name] == nil {
			_, batch, _ := strings.Cut(strings.TrimPrefix(subject, producer.Subject("", "")), ".")
			byName[name] = &LaneState{Queue: queueOf(subject), Batch: batch, subject: subject}
		}
		return byName[name]
	}
	for subject, n := range subjects {
		at(subject).Queued = n
	}
	err = s.consumers(ctx, func(info *jetstream.ConsumerInfo) {
		l := at(info.Config.FilterSubject)
		// What the stream holds is with workers or still to be handed out.
		l.durable, l.Held = info.Name, info.NumAckPending
		l.Queued = max(l.Queued-l.Held, 0)
	})
	if err != nil {
		return nil, err
	}
	var all []LaneState
	for _, l := range byName {
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b LaneState) int {
		return cmp.Or(strings.Compare(a.Queue, b.Queue), strings.Compare(a.Batch, b.Batch))
	})
	return all, nil
}

// consumers goes through those of the lanes of all queues.
func (s *Store) consumers(ctx context.Context, each func(*jetstream.ConsumerInfo)) error {
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	list := jobs.ListConsumers(ctx)
	for info := range list.Info() {
		if strings.HasPrefix(info.Name, durablePrefix) {
			each(info)
		}
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", producer.Stream, err)
	}
	return nil
}

// Lane tells what a queue holds of one batch.
func (s *Store) Lane(ctx context.Context, queue, batch string) (LaneState, error) {
	l := LaneState{Queue: queue, Batch: batch}
	left, err := s.Left(ctx, queue, batch)
	if err != nil {
		return l, err
	}
	cons, err := s.js.Consumer(ctx, producer.Stream, durableName(producer.Subject(queue, batch)))
	switch {
	case err == nil:
		l.Held = cons.CachedInfo().NumAckPending
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return l, fmt.Errorf("look up batch %s on queue %s: %w", batch, queue, err)
	}
	l.Queued = max(left-l.Held, 0)
	return l, nil
}

// Queues lists every queue that holds a job or was opened by workers.
func (s *Store) Queues(ctx context.Context) ([]QueueState, error) {
	lanes, err := s.Lanes(ctx)
	return QueuesOf(lanes), err
}

// QueuesOf sums lanes by queue.
func QueuesOf(lanes []LaneState) []QueueState {
	byName := map[string]QueueState{}
	for _, l := range lanes {
		q := byName[l.Queue]
		q.Name = l.Queue
		q.Queued += l.Queued
		q.Held += l.Held
		q.Routed = q.Routed || l.durable != ""
		byName[l.Queue] = q
	}
	var all []QueueState
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name])
	}
	return all
}

// QueueState tells what one queue holds.
func (s *Store) QueueState(ctx context.Context, name string) (QueueState, error) {
	all, err := s.Queues(ctx)
	for _, q := range all {
		if q.Name == name {
			return q, err
		}
	}
	return QueueState{Name: name}, err
}

// Oldest tells when the oldest job of a lane was published; zero when it holds none.
func (s *Store) Oldest(ctx context.Context, l LaneState) (time.Time, error) {
	if l.subject == "" {
		return time.Time{}, nil
	}
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return time.Time{}, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	m, err := jobs.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(l.subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("oldest job of %s: %w", l.subject, err)
	}
	return m.Time, nil
}

// subjects counts the messages of JOBS by subject; there are few.
func (s *Store) subjects(ctx context.Context) (map[string]int, error) {
	return s.countSubjects(ctx, ">")
}

func (s *Store) countSubjects(ctx context.Context, filter string) (map[string]int, error) {
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	info, err := jobs.Info(ctx, jetstream.WithSubjectFilter(filter))
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
	subject := producer.Subject(queue, batch)
	counts, err := s.countSubjects(ctx, subject)
	return counts[subject], err
}

// CloseQueue removes the workers' consumers of a queue that holds nothing more.
func (s *Store) CloseQueue(ctx context.Context, name string) error {
	lanes, err := s.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, q := range QueuesOf(lanes) {
		if q.Name == name && q.Queued+q.Held > 0 {
			return nil
		}
	}
	for _, l := range lanes {
		if l.Queue != name || l.durable == "" {
			continue
		}
		err := s.js.DeleteConsumer(ctx, producer.Stream, l.durable)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("close queue %s: %w", name, err)
		}
	}
	return nil
}
