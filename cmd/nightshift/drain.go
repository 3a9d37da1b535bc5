package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// drain submits the batch and works its queue until every job has ended, or the provider is
// held and nobody is to wait for it.
func (r *runState) drain(ctx context.Context) (*policy.Hold, error) {
	id := firstOf(r.flags.batch, producer.BatchID(r.report.Digest, r.flags.model))
	queue, err := r.queueOf(ctx, r.session, id, id) // one of its own: a run works nobody else's jobs
	if err != nil {
		return nil, err
	}
	done, err := r.finished(ctx, id)
	if err != nil || done {
		return nil, err
	}
	if err := r.limitBatch(ctx, r.session, id, queue); err != nil {
		return nil, err
	}
	if err := r.startLater(ctx, r.session, id); err != nil {
		return nil, err
	}
	stop, err := r.openConsumer(ctx, queue, id)
	if err != nil {
		return nil, err
	}
	defer stop()
	hold, err := r.submitAndWork(ctx, id, queue)
	if err == nil && hold == nil && queue == id {
		err = r.store.CloseQueue(ctx, queue)
	}
	return hold, err
}

// finished says whether the batch is complete already: then no provider is needed.
func (r *runState) finished(ctx context.Context, id string) (bool, error) {
	var err error
	r.batch, err = r.producer.Batch(ctx, id)
	if errors.Is(err, producer.ErrNoBatch) {
		return false, nil
	}
	if err != nil || !r.batch.Done() {
		return false, err
	}
	c, err := r.store.Count(ctx, id)
	if err != nil {
		return false, err
	}
	return r.over(ctx, id, c)
}

// over says whether all jobs of a submitted batch have ended and left the queue. One that has
// ended and is still there was interrupted in between: its dead letter may lack the entry, and
// in any case nobody else would take it off the queue.
func (r *runState) over(ctx context.Context, id string, c consumer.Counts) (bool, error) {
	var err error
	if r.batch, err = r.producer.Batch(ctx, id); err != nil || c.Ended() < r.batch.Total {
		return false, err
	}
	left, err := r.store.Left(ctx, r.batch.Queue, id)
	return left == 0, err
}

func (r *runState) openConsumer(ctx context.Context, queue, batch string) (stop func(), err error) {
	n, err := r.pickProvider(queue)
	if err != nil {
		return nil, err
	}
	r.account = n.name
	r.consumer, stop, err = r.newConsumer(ctx, r.session, []string{queue}, batch)
	return stop, err
}

// newConsumer makes the worker of some queues, with the providers they need. batch is about to
// come, if it is not empty.
func (a *app) newConsumer(
	ctx context.Context, s *session, queues []string, batch string,
) (*consumer.Consumer, func(), error) {
	c := consumer.Config{
		Grace: a.flags.grace, Log: a.log, Replicas: s.replicas, SyncAlways: s.broker.SyncAlways(),
		Embedded: s.broker.Dir() != "", Observer: a.observer,
	}
	var used accounts
	for _, name := range queues {
		q, err := a.addQueue(ctx, &used, name)
		if err != nil {
			used.stop()
			return nil, nil, err
		}
		q.Batch = batch
		c.Queues = append(c.Queues, q)
	}
	c.Accounts = used.all
	var w *consumer.Consumer
	err := a.patiently(ctx, func() (guest bool, err error) {
		w, err = consumer.New(ctx, s.js, c)
		return s.standIn != nil, err
	})
	if err != nil {
		used.stop()
		return nil, nil, err
	}
	return w, used.stop, nil
}

// submitAndWork runs the submission and the worker side by side, until the batch has ended.
func (r *runState) submitAndWork(ctx context.Context, id, queue string) (*policy.Hold, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	submitted := make(chan error, 1)
	show := newProgress(r.app, r.jobs(), r.consumer.Stats)
	defer show.close()
	go func() {
		s := r.submission(id, queue)
		s.Ended = r.ended
		s.Progress = func(b producer.Batch, full bool) { show.submitted(b, full) }
		_, err := r.submitFile(ctx, r.src, r.report, s)
		submitted <- err
	}()
	worked := make(chan error, 1)
	go func() { worked <- r.consumer.Run(ctx) }()
	hold, err := r.watch(ctx, id, show, submitted, worked)
	interrupted := ctx.Err() != nil
	if interrupted && err == nil {
		show.stop()
	}
	cancel()
	err = errors.Join(err, drainErr(submitted), drainErr(worked))
	if err == nil && interrupted {
		return nil, r.interrupted(id)
	}
	return hold, err
}

// drainErr waits for the last word of a goroutine whose context has ended.
func drainErr(c chan error) error {
	if err := <-c; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (r *runState) interrupted(id string) error {
	c, err := r.store.Count(context.Background(), id)
	if err != nil {
		return err
	}
	return hint(fmt.Errorf("interrupted: %d of %d jobs have ended, the others are kept", c.Ended(), r.report.Jobs),
		"run the same command again to go on")
}

// lookEvery is how often the batch's endings are counted.
const lookEvery = 500 * time.Millisecond

// brokerPatience is how long a broker may be out of reach before a run gives up. Whatever runs
// on the store next has every job.
const brokerPatience = time.Minute

// watch waits for the end of the batch, of the context or of the patience with a hold.
func (r *runState) watch(
	ctx context.Context, id string, show *progress, submitted, worked chan error,
) (*policy.Hold, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	done, good, last := false, time.Now(), submitted
	for {
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // neither a hold nor an error: it was interrupted
		case err := <-worked:
			worked <- nil
			return nil, firstOf(err, errors.New("the worker ended early"))
		case err := <-last:
			submitted <- nil
			if err != nil {
				return nil, err
			}
			done, last = true, nil
		case <-tick.C:
		}
		c, err := r.store.Count(ctx, id)
		over := false
		if err == nil && done {
			over, err = r.over(ctx, id, c)
		}
		if err == nil && done && !over {
			err = r.outOfBudget()
		}
		if errors.Is(err, errOutOfBudget) {
			return nil, err
		}
		switch {
		case err == nil:
			good = time.Now()
		case ctx.Err() != nil:
			return nil, nil //nolint:nilnil // neither a hold nor an error: it was interrupted
		case time.Since(good) > brokerPatience:
			return nil, err
		default: // the broker may be on its way to another process
			continue
		}
		stats := r.consumer.Stats()
		show.counts(c, stats)
		if over {
			return nil, nil //nolint:nilnil // neither a hold nor an error: it was interrupted
		}
		if hold := r.impatient(stats); hold != nil {
			show.tell(hold)
			printf(r.stderr, "every job is kept: run the same command again when that is done\n")
			return hold, nil
		}
	}
}

// impatient returns the hold that ends the run, if there is one and it is not to be waited for.
func (r *runState) impatient(s consumer.Stats) *policy.Hold {
	switch p := s.Providers[r.account]; { // a fallback that is held ends no run
	case p.Hold == nil:
		r.stood = 0
	case r.flags.onHold == "wait", r.flags.onHold == "auto" && s.Answered > 0:
	case !ours(p, s, r.started):
		r.stood = 0
	default:
		if r.stood++; r.stood >= 2 { // not just about to be released
			return p.Hold
		}
	}
	return nil
}
