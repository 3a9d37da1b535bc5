package consumer

import (
	"context"
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
	for _, q := range c.queues {
		left, err := c.store.left(ctx, q.Name)
		if err != nil {
			return err
		}
		q.lookBelow, q.resets = left.Below, left.InHand
		if q.consumer, err = c.durable(ctx, q.Name); err != nil {
			return err
		}
	}
	return nil
}
