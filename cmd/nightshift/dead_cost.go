package main

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"

	"nightshift/consumer"
	"nightshift/producer"
)

// replayCost counts what letters may use when they are sent again, by the queue they would go to:
// each has a provider with prices of its own.
type replayCost struct {
	*app
	*session
	replay consumer.Replay

	mu     sync.Mutex
	queues map[string]*counting
	odd    int // no job can be made of these
}

// printReplayCost says what a replay may cost.
func (a *app) printReplayCost(ctx context.Context, s *session, f consumer.Filter, r consumer.Replay) error {
	c := &replayCost{app: a, session: s, replay: r, queues: map[string]*counting{}}
	if err := c.all(ctx, f); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.queues)) {
		printf(a.stdout, "\nestimate for queue %s\n", name)
		sum := c.queues[name].sum()
		sum.print(a.stdout)
	}
	if c.odd > 0 {
		printf(a.stdout, "\n%s not counted: no job can be made of it\n", plural(c.odd, "dead letter"))
	}
	return nil
}

// all has every processor count letters.
func (c *replayCost) all(ctx context.Context, f consumer.Filter) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	letters := make(chan consumer.DeadLetter)
	var counters sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		counters.Go(func() {
			t := &tokenCounter{}
			for l := range letters {
				if err := c.letter(ctx, t, &l); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := c.read(ctx, f, letters)
	close(letters)
	counters.Wait()
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (c *replayCost) read(ctx context.Context, f consumer.Filter, letters chan<- consumer.DeadLetter) error {
	n := 0
	for l, err := range c.store.LettersOldest(ctx, f) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		letters <- l
		if n++; n == c.replay.Limit {
			break
		}
	}
	return nil
}

// letter counts one as it would be sent.
func (c *replayCost) letter(ctx context.Context, t *tokenCounter, l *consumer.DeadLetter) error {
	full, err := c.store.DeadLetter(ctx, l.Batch, l.Class, l.Key)
	if err != nil {
		return err
	}
	job, err := producer.Decode(producer.Subject(l.Queue, l.Batch), nil, full.Request(), 1)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.odd++
		return nil
	}
	queue := c.queueOf(firstOf(c.replay.Queue, l.Queue))
	one, err := queue.job(t, job)
	if err != nil {
		return err
	}
	queue.mu.Lock()
	defer queue.mu.Unlock()
	if queue.total[one.Model] == nil {
		queue.total[one.Model] = &modelEstimate{Model: one.Model}
	}
	queue.total[one.Model].add(one)
	return nil
}

func (c *replayCost) queueOf(name string) *counting {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queues[name] == nil {
		prices, override := c.priced(name)
		c.queues[name] = &counting{
			app: c.app, override: firstOf(override, c.replay.Model), prices: prices, queue: c.queueConfig(name),
			total: map[string]*modelEstimate{},
		}
	}
	return c.queues[name]
}
