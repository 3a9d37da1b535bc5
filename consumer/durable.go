package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// maxAckPending must hold the calls in flight and the jobs that wait for their time: the
// broker counts both, and stops handing out at the limit.
const maxAckPending = 200_000

func durableName(queue string) string { return "work-" + queue }

// durable opens the consumer that all workers of a queue share, making it if it is missing.
// MaxDeliver stays unlimited, since the broker would leave an exhausted job in the stream
// where nobody sees it, and there is no BackOff, which would spoil delayed NAKs.
func (c *Consumer) durable(ctx context.Context, name string) (jetstream.Consumer, error) {
	cons, err := c.js.CreateOrUpdateConsumer(ctx, producer.Stream, jetstream.ConsumerConfig{
		Durable:        durableName(name),
		Description:    "workers of queue " + name,
		FilterSubjects: producer.Subjects(name),
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        c.c.AckWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxAckPending,
		Replicas:       c.c.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("open consumer of queue %s: %w", name, err)
	}
	return cons, nil
}

func (c *Consumer) openQueues(ctx context.Context) error {
	jobs, err := c.js.Stream(ctx, producer.Stream)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	for _, q := range c.queues {
		if c.c.Exclusive {
			if err := c.takeOver(ctx, jobs, q); err != nil {
				return fmt.Errorf("take over queue %s: %w", q.Name, err)
			}
		}
		if q.consumer, err = c.durable(ctx, q.Name); err != nil {
			return err
		}
	}
	return nil
}

// takeOver frees what a predecessor had in hand when it died. Nobody else can hold a job, so
// the durable consumer is made anew instead of waiting for its leases, and what it forgets
// by that is kept here: which jobs were in hand, and how often that has happened to them.
func (c *Consumer) takeOver(ctx context.Context, jobs jetstream.Stream, q *queue) error {
	old, err := jobs.Consumer(ctx, durableName(q.Name))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		// It may have been removed by a take-over that died before it made a new one.
		return c.loadResets(ctx, jobs, q)
	}
	if err != nil {
		return err
	}
	if err := c.loadResets(ctx, jobs, q); err != nil {
		return err
	}
	info := old.CachedInfo()
	if info.NumAckPending > 0 {
		if q.resets, err = inHand(ctx, jobs, q, info.Delivered.Stream); err != nil {
			return err
		}
		data, err := json.Marshal(q.resets)
		if err != nil {
			return err
		}
		if _, err := c.store.fleet.Put(ctx, resetsKey(q.Name), data); err != nil {
			return err
		}
	}
	return jobs.DeleteConsumer(ctx, durableName(q.Name))
}

func resetsKey(queue string) string { return "resets." + queue }

func (c *Consumer) loadResets(ctx context.Context, jobs jetstream.Stream, q *queue) error {
	q.lookBelow = jobs.CachedInfo().State.LastSeq
	e, err := c.store.fleet.Get(ctx, resetsKey(q.Name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(e.Value(), &q.resets)
}

// inHand lists the jobs that were delivered and not settled, each with its count of resets
// raised by one: in a work queue those are the messages still there up to the last delivered.
func inHand(ctx context.Context, jobs jetstream.Stream, q *queue, delivered uint64) (map[uint64]int, error) {
	resets := map[uint64]int{}
	for _, subject := range producer.Subjects(q.Name) {
		for seq := uint64(1); seq <= delivered; {
			m, err := jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				return nil, err
			}
			if m.Sequence <= delivered {
				resets[m.Sequence] = q.resets[m.Sequence] + 1
			}
			seq = m.Sequence + 1
		}
	}
	return resets, nil
}
