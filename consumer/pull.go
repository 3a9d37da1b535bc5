package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxFetch bounds one request for jobs, so that a large window starts calling while the
	// next jobs are on their way.
	maxFetch = 512
	// fetchWait bounds how long slots stay reserved for a queue that holds fewer jobs than
	// were asked for.
	fetchWait = 300 * time.Millisecond
	// idleWait bounds one look at an empty queue. Every wait is bounded: a lost wake-up
	// must not stop the night.
	idleWait = time.Second
	// errorWait is the pause after the broker failed us.
	errorWait = time.Second
)

// laneEvery is how often a worker looks for lanes that hold jobs.
const laneEvery = 250 * time.Millisecond

// laneRest is how long a lane has to be empty for its pull to end.
const laneRest = 30 * time.Second

// follow keeps a pull running for every lane that holds jobs, until ctx ends. The error says why
// none can be pulled any more.
func (c *Consumer) follow(ctx, calls context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tick := time.NewTicker(laneEvery)
	defer tick.Stop()
	running := map[*lane]bool{}
	ended := make(chan laneEnd)
	var failed error
	for ctx.Err() == nil || len(running) > 0 {
		for _, l := range c.lanes.of("") {
			if ctx.Err() == nil && !running[l] && (l.batch == "" || c.lanes.holds(l)) {
				running[l] = true
				go func() { ended <- laneEnd{l, c.pull(ctx, calls, l)} }()
			}
		}
		select {
		case e := <-ended:
			delete(running, e.lane)
			if e.err != nil {
				failed = fmt.Errorf("pull from queue %s: %w", e.lane.Name, e.err)
				stop()
			}
		case <-ctx.Done():
			tick.Stop()
			for range running {
				e := <-ended
				failed = cmp.Or(failed, e.err)
			}
			return failed
		case <-tick.C:
			if err := c.openLanes(ctx); err != nil && ctx.Err() == nil {
				c.c.Log.Warn().Err(err).Msg("cannot look for jobs, trying again")
			}
		}
	}
	return failed
}

// pull takes jobs of one lane, never more than the guard has slots for, so that no job waits
// for a slot while its lease runs. It returns when the lane has been empty for a while.
func (c *Consumer) pull(ctx, calls context.Context, l *lane) error {
	defer l.turns.rest(l)
	for last := time.Now(); ctx.Err() == nil && (l.batch == "" || time.Since(last) < laneRest); {
		if c.pauses.paused(l) {
			l.turns.rest(l)
		}
		if c.pauses.wait(ctx, l) != nil {
			return nil
		}
		got, err := c.pullSome(ctx, calls, l)
		if got > 0 || c.lanes.holds(l) {
			last = time.Now()
		}
		if err := c.pullError(ctx, l, err); err != nil {
			return err
		}
	}
	return nil
}

// pullSome asks for as many jobs as there are slots for, or looks for one where there was none
// lately: an empty lane keeps no slot from the others.
func (c *Consumer) pullSome(ctx, calls context.Context, l *lane) (got int, err error) {
	if !c.lanes.holds(l) {
		if got, err = c.idle(ctx, calls, l); got == 0 || err != nil {
			return got, err
		}
	}
	slots, alone, err := l.turns.take(ctx, l)
	if err != nil {
		return got, nil //nolint:nilerr // the context ended: that is how a shutdown begins
	}
	if c.pauses.paused(l) {
		l.guard.Give(slots)
		return got, nil
	}
	some, err := c.fetch(ctx, calls, l, slots, alone)
	l.turns.served(l, some)
	if err == nil && some == 0 && got == 0 && ctx.Err() == nil {
		return c.idle(ctx, calls, l)
	}
	return got + some, err
}

// fetch asks for as many jobs as there are slots and starts each as it comes. Slots that got
// no job are given back, at once where other lanes wait for them.
func (c *Consumer) fetch(ctx, calls context.Context, l *lane, slots int, alone bool) (got int, err error) {
	defer func() { l.guard.Give(slots - got) }()
	select {
	case l.room <- struct{}{}: // at least one may be pulled
		<-l.room
	case <-ctx.Done():
		return 0, nil
	}
	var batch jetstream.MessageBatch
	if alone {
		batch, err = c.fetchJobs(l, slots, fetchWait)
	} else {
		batch, err = c.fetchJobs(l, slots, 0)
	}
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		got++
		c.start(ctx, calls, l, m, l.main())
	}
	return got, batch.Error()
}

// idle looks at an empty lane without keeping a slot from others; a job that comes takes one
// then.
func (c *Consumer) idle(ctx, calls context.Context, l *lane) (got int, err error) {
	l.turns.rest(l)
	batch, err := c.fetchJobs(l, 1, idleWait)
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		got++
		if c.pauses.paused(l) || l.guard.TryTake(1) == 0 {
			c.decline(calls, l, m)
			continue
		}
		l.turns.served(l, 1)
		c.start(ctx, calls, l, m, l.main())
	}
	return got, batch.Error()
}

// start delivers in a goroutine of its own, once there is room, by a slot of a route. At a shutdown it waits for
// none, so that the pulling ends before the calls do.
func (c *Consumer) start(ctx, calls context.Context, l *lane, m jetstream.Msg, by route) {
	c.note(calls, l, m)
	leave := func() { <-l.room }
	select {
	case l.room <- struct{}{}:
	case <-ctx.Done():
		leave = func() {}
	}
	c.jobs.Go(func() {
		defer leave()
		c.deliver(calls, l, m, by)
	})
}

// pullError says whether an error ends the pulling: the connection was closed for good. Any
// other is the broker's and passes; the durable consumer is looked up anew, as it may have
// been removed.
func (c *Consumer) pullError(ctx context.Context, l *lane, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) {
		return nil //nolint:nilerr // it passes by itself
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return err
	}
	l.turns.rest(l)
	c.c.Log.Warn().Err(err).Str("queue", l.Name).Msg("cannot pull, trying again")
	if !sleep(ctx, errorWait) {
		return nil
	}
	if err := c.reopen(ctx, l); err != nil && ctx.Err() == nil {
		c.c.Log.Warn().Err(err).Str("queue", l.Name).Msg("cannot open the consumer, trying again")
	}
	return nil
}

// laneEnd says that the pull of a lane has ended, and why it failed if it did.
type laneEnd struct {
	lane *lane
	err  error
}
