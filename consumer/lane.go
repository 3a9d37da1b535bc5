package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// lane is the jobs of one batch in a queue, or those of none. It has a durable consumer of its
// own, so that it can be paused, cancelled and given its share without the others: a consumer
// over many batches hands out their jobs in the order they came, and one that is not wanted now
// could only go in circles.
type lane struct {
	*queue
	batch   string // "" for the jobs of none
	subject string
	name    string // in the names of its consumer and its keys
	share   share

	// lookBelow is the last sequence that dead workers may have worked on: such a job may
	// have ended already. resets counts, for those they had in hand, how often (see left).
	lookBelow uint64
	resets    map[uint64]int
	reach     reach

	mu       sync.Mutex
	consumer jetstream.Consumer
}

// maxAckPending must hold the calls in flight and the jobs that wait for their time: the
// broker counts both, and stops handing out at the limit.
const maxAckPending = 200_000

// laneIdle is how long the broker keeps the consumer of a lane that nobody pulls from. It must
// outlast any pause: with the consumer it would forget which jobs are in hand.
const laneIdle = 30 * 24 * time.Hour

const (
	durablePrefix = "work-"
	// laneJoint stands between queue and batch; no name has it.
	laneJoint = "="
)

// laneName is the queue and the batch of a subject in a form that names consumers and keys.
// Anyone may publish to a subject whose tokens are no names; those are hashed.
func laneName(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	tokens := strings.Split(rest, ".")
	for i, t := range tokens {
		if !producer.ValidName(t) {
			sum := sha256.Sum256([]byte(t))
			tokens[i] = "h_" + hex.EncodeToString(sum[:16])
		}
	}
	return strings.Join(tokens, laneJoint)
}

func durableName(subject string) string { return durablePrefix + laneName(subject) }

// laneOfDurable is the lane that a consumer of JOBS belongs to, and its queue.
func laneOfDurable(consumer string) (lane, queue string, ok bool) {
	lane, ok = strings.CutPrefix(consumer, durablePrefix)
	queue, _, _ = strings.Cut(lane, laneJoint)
	return lane, queue, ok
}

// openLane opens the consumer that all workers of a lane share, making it if it is missing.
func (c *Consumer) openLane(ctx context.Context, q *queue, subject string) (*lane, error) {
	l := &lane{queue: q, subject: subject, name: laneName(subject)}
	if batch, ok := strings.CutPrefix(subject, producer.Subject(q.Name, "")+"."); ok {
		l.batch = batch
	}
	left, err := c.store.left(ctx, l.name)
	if err != nil {
		return nil, err
	}
	l.lookBelow, l.resets = left.Below, left.InHand
	return l, c.reopen(ctx, l)
}

// reopen makes the lane's consumer anew where it was removed. MaxDeliver stays unlimited, since
// the broker would leave an exhausted job in the stream where nobody sees it, and there is no
// BackOff, which would spoil delayed NAKs.
func (c *Consumer) reopen(ctx context.Context, l *lane) error {
	cons, err := c.js.CreateOrUpdateConsumer(ctx, producer.Stream, jetstream.ConsumerConfig{
		Durable:           durableName(l.subject),
		Description:       "workers of " + l.subject,
		FilterSubject:     l.subject,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           c.c.AckWait,
		MaxDeliver:        -1,
		MaxAckPending:     maxAckPending,
		InactiveThreshold: laneIdle,
		Replicas:          c.c.Replicas,
	})
	if err != nil {
		return fmt.Errorf("open consumer of %s: %w", l.subject, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.consumer = cons
	return nil
}

// decode reads a job of the queue, and gives it what it does not say itself.
func (q *queue) decode(m jetstream.Msg, sequence uint64, published time.Time) (producer.Job, error) {
	j, err := producer.Decode(m.Subject(), m.Headers(), m.Data(), sequence)
	if j.Batch == "" {
		j.Batch = producer.LooseBatch
	}
	if j.Deadline.IsZero() && q.Within > 0 {
		j.Deadline = published.Add(q.Within)
	}
	return j, err
}

func (l *lane) source() jetstream.Consumer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.consumer
}

// lanes are those of all queues that this worker has opened.
type lanes struct {
	mu   sync.Mutex
	open map[string]*lane // by subject
	jobs map[string]int   // how many jobs a subject held when it was last looked at
}

// openLanes opens the lane of jobs without a batch of each queue, and those that hold jobs.
func (c *Consumer) openLanes(ctx context.Context) error {
	held, err := c.store.subjects(ctx)
	if err != nil {
		return err
	}
	c.lanes.mu.Lock()
	defer c.lanes.mu.Unlock()
	c.lanes.jobs = held
	var errs []error
	for _, q := range c.queues {
		errs = append(errs, c.openIn(ctx, q, producer.Subject(q.Name, "")))
		if q.Batch != "" {
			errs = append(errs, c.openIn(ctx, q, producer.Subject(q.Name, q.Batch)))
		}
		for subject := range held {
			if queueOf(subject) == q.Name {
				errs = append(errs, c.openIn(ctx, q, subject))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Consumer) openIn(ctx context.Context, q *queue, subject string) error {
	if c.lanes.open[subject] != nil {
		return nil
	}
	l, err := c.openLane(ctx, q, subject)
	if err == nil {
		c.lanes.open[subject] = l
	}
	return err
}

// of lists the open lanes of an account, or of all when it is empty.
func (s *lanes) of(account string) []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*lane
	for _, l := range s.open {
		if account == "" || l.Account == account {
			all = append(all, l)
		}
	}
	return all
}

// holds says whether a lane had jobs when it was last looked at.
func (s *lanes) holds(l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[l.subject] > 0
}
