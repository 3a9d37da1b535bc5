package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"nightshift/policy"
	"nightshift/producer"
)

// A job whose deadline has passed is ended by whoever gets it. While a provider is held, its gate
// is shut, its queue paused or its slots are taken nobody gets any, so one worker of each account
// looks through the queues themselves for such jobs.

const (
	// expireEvery is how often it looks.
	expireEvery = time.Second
	// expireGrace is how long after its deadline a job is left to the worker that may have it in
	// hand: that one cuts the call at the deadline and ends the job. Whoever is first has ended it.
	expireGrace = 2 * time.Second
	// expireChunk is how many jobs, and expireBytes how much of them, are ended at once. Their
	// endings fill atomic batches, which are one fsync each.
	expireChunk = 4 * producer.MaxAtomic
	expireBytes = 32 << 20
	// expireStep is how many jobs of a subject are looked at in one round while their provider
	// is called, so that a queue that flows is not read twice.
	expireStep = 1000
)

// expirer ends the jobs whose time is over.
type expirer struct {
	*Consumer
	jobs    jetstream.Stream
	batches jetstream.KeyValue
	walks   map[string]*walk // by subject
}

// walk is how far the jobs of a subject were looked at.
type walk struct {
	next uint64 // the sequence to go on from
	over bool   // all that was there has been looked at
	kept bool   // a job before next is still on the queue
	// soonest is when to begin anew: the earliest deadline that was met, or that of the batch.
	soonest time.Time
	batch   bool // all jobs have the deadline of their batch, or none
}

// expire looks for jobs whose deadline has passed, until ctx ends.
func (c *Consumer) expire(ctx context.Context) {
	x := &expirer{Consumer: c, walks: map[string]*walk{}}
	for sleep(ctx, expireEvery) {
		if err := x.round(ctx); err != nil && ctx.Err() == nil {
			c.c.Log.Warn().Err(err).Msg("cannot look for jobs whose deadline has passed")
		}
	}
}

func (x *expirer) round(ctx context.Context) error {
	subjects, err := x.store.subjects(ctx)
	if err != nil {
		return err
	}
	for subject := range x.walks {
		if subjects[subject] == 0 {
			delete(x.walks, subject)
		}
	}
	for _, q := range x.queues {
		for subject := range subjects {
			if queueOf(subject) != q.Name || !x.fleet.roster.first(q.Account) {
				continue
			}
			if err := x.look(ctx, q, subject); err != nil {
				return err
			}
		}
	}
	return nil
}

// look goes on with the walk through a subject, if there is any reason to.
func (x *expirer) look(ctx context.Context, q *queue, subject string) error {
	if err := x.open(ctx); err != nil {
		return err
	}
	w := x.walks[subject]
	if w == nil {
		deadline, known, err := x.deadline(ctx, q, subject)
		if err != nil {
			return err
		}
		w = &walk{batch: known, over: known, soonest: deadline}
		x.walks[subject] = w
	}
	if w.over && w.next == 0 && !due(w.soonest) {
		return nil
	}
	if w.over && due(w.soonest) {
		*w = walk{batch: w.batch}
	}
	most := expireStep
	if s := q.guard.State(); w.batch || s.Hold != nil || s.Until.After(time.Now()) {
		most = 0
	}
	return x.walk(ctx, q, subject, w, most)
}

func due(deadline time.Time) bool {
	return !deadline.IsZero() && time.Now().After(deadline.Add(expireGrace))
}

func (x *expirer) open(ctx context.Context) (err error) {
	if x.jobs == nil {
		if x.jobs, err = x.js.Stream(ctx, producer.Stream); err != nil {
			return fmt.Errorf("open stream %s: %w", producer.Stream, err)
		}
	}
	if x.batches == nil {
		if x.batches, err = x.js.KeyValue(ctx, producer.Bucket); err != nil {
			return fmt.Errorf("open bucket %s: %w", producer.Bucket, err)
		}
	}
	return nil
}

// walk looks at the next jobs of a subject, at most so many, or all of them for 0, and ends
// those whose time is over.
func (x *expirer) walk(ctx context.Context, q *queue, subject string, w *walk, most int) error {
	var chunk []*lying
	size := 0
	for n := 0; most == 0 || n < most; {
		some, err := getSome(ctx, x.js.Conn(), producer.Stream, subject, max(w.next, 1))
		if err != nil {
			return err
		}
		if w.over = len(some) == 0; w.over {
			break
		}
		n += len(some)
		for _, m := range some {
			w.next = m.sequence + 1
			if s := x.take(q, subject, m, w); s != nil {
				chunk, size = append(chunk, s), size+len(m.data)
			}
		}
		if len(chunk) >= expireChunk || size >= expireBytes {
			if err := x.end(ctx, subject, chunk, w); err != nil {
				return err
			}
			chunk, size = nil, 0
		}
	}
	return x.end(ctx, subject, chunk, w)
}

// take makes a job of a message if its time is over and nobody here has it in hand.
func (x *expirer) take(q *queue, subject string, m gotMsg, w *walk) *lying {
	s := &lying{gotMsg: m, subject: subject, jobs: x.jobs}
	job, err := q.decode(s, m.sequence, s.published())
	switch {
	case !due(job.Deadline):
		if !job.Deadline.IsZero() && (w.soonest.IsZero() || job.Deadline.Before(w.soonest)) {
			w.soonest = job.Deadline
		}
	case x.leases.has(m.sequence):
		w.soonest = job.Deadline // it is looked at again
	default:
		s.delivery = &delivery{
			queue: q, msg: s, job: job, id: nuid.Next(), received: time.Now(),
			lease: &lease{seq: m.sequence, msg: s, cancel: func() {}},
		}
		s.fault = &policy.Fault{Class: policy.Expired, Rule: "deadline"}
		if err != nil {
			s.fault = &policy.Fault{Class: policy.Malformed, Rule: "decode", Message: err.Error()}
		}
		return s
	}
	w.kept = true
	return nil
}

// end buries the jobs of a chunk side by side and takes them off the queue.
func (x *expirer) end(ctx context.Context, subject string, chunk []*lying, w *walk) error {
	var all sync.WaitGroup
	for _, s := range chunk {
		all.Go(func() { x.settleStored(ctx, s) })
	}
	all.Wait()
	var ended []*lying
	for _, s := range chunk {
		if s.ended {
			ended = append(ended, s)
		}
	}
	if len(ended) < len(chunk) { // to be done again
		w.kept, w.soonest = true, chunk[0].delivery.job.Deadline
	}
	if len(ended) == 0 {
		return nil
	}
	if !w.kept {
		last := ended[len(ended)-1].sequence
		return x.jobs.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(last+1))
	}
	return x.takeOff(ctx, ended)
}

// takeOff takes jobs off the queue one by one, as others lie between them.
func (x *expirer) takeOff(ctx context.Context, ended []*lying) error {
	var all sync.WaitGroup
	slots := make(chan struct{}, maxAcks)
	errs := make([]error, len(ended))
	for i, s := range ended {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.DoubleAck(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (x *expirer) settleStored(ctx context.Context, s *lying) {
	d := s.delivery
	var err error
	if d.history, err = x.store.History(ctx, d.job.Batch, d.job.Key); err != nil {
		return // the next walk finds it
	}
	if d.meta, err = s.Metadata(); err == nil && !x.cancels.has(d) {
		ctx, cancel := context.WithTimeout(ctx, x.c.AckWait)
		defer cancel()
		x.settle(ctx, d, dead, s.fault, nil, policy.Decision{})
	}
}

// has says whether a job is in hand here.
func (l *leases) has(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobs[seq] != nil
}
