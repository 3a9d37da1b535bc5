package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// TakeOver frees what workers had in hand when they died with the broker. Only the process
// that has just started the broker of a locked store may call it: nobody can hold a job then but
// workers that outlived the broker's last process, which alive tells by their sign of life. The
// durable consumers of queues that none of those works are removed, to be made anew, instead of
// waiting for the leases of the dead; what they forget by that is kept in FLEET: which jobs were
// in hand, how often that has happened to them, and up to which sequence a job may have ended
// already.
func (s *Store) TakeOver(ctx context.Context, alive func(Worker) bool) error {
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	if err := s.cancelAgain(ctx, jobs); err != nil {
		return err
	}
	worked, err := s.workedBy(ctx, alive)
	if err != nil {
		return err
	}
	list := jobs.ListConsumers(ctx)
	for info := range list.Info() {
		if lane, queue, ok := laneOfDurable(info.Name); ok {
			if err := s.takeOver(ctx, jobs, lane, info, worked[queue]); err != nil {
				return fmt.Errorf("take over queue %s: %w", queue, err)
			}
		}
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", producer.Stream, err)
	}
	return nil
}

// cancelAgain takes the jobs of cancelled batches off their queues once more: a broker that is
// killed may forget that it removed them, and a consumer that has passed them never sees them.
func (s *Store) cancelAgain(ctx context.Context, jobs jetstream.Stream) error {
	again, err := present(ctx, s.fleet, cancelPrefix, func(e jetstream.KeyValueEntry) (func() error, error) {
		var mark cancelMark
		if err := json.Unmarshal(e.Value(), &mark); err != nil {
			return nil, fmt.Errorf("decode %s: %w", e.Key(), err)
		}
		subject := producer.Subject("*", strings.TrimPrefix(e.Key(), cancelPrefix))
		return func() error {
			return jobs.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(mark.Last+1))
		}, nil
	})
	for _, purge := range again {
		err = errors.Join(err, purge())
	}
	if err != nil {
		return fmt.Errorf("take cancelled jobs off again: %w", err)
	}
	return nil
}

// workedBy lists the queues of workers that are alive.
func (s *Store) workedBy(ctx context.Context, alive func(Worker) bool) (map[string]bool, error) {
	workers, err := present(ctx, s.fleet, workerPrefix, decodeWorker)
	worked := map[string]bool{}
	for _, w := range workers {
		if !alive(w) {
			// Who comes next must not wait for its word.
			err = errors.Join(err, s.fleet.Purge(ctx, workerPrefix+w.ID, jetstream.PurgeTTL(time.Minute)))
			continue
		}
		for _, q := range w.Queues {
			worked[q] = true
		}
	}
	return worked, err
}

// left is what earlier workers of a lane left behind when they died with the broker.
type left struct {
	// Below is the last sequence they may have worked on: such a job may have ended.
	Below uint64 `json:"below"`
	// InHand counts, by sequence, how often a take-over found a job with a worker.
	InHand map[uint64]int `json:"in_hand,omitempty"`
}

func leftKey(lane string) string { return "left." + lane }

func (s *Store) left(ctx context.Context, lane string) (l left, err error) {
	e, err := s.fleet.Get(ctx, leftKey(lane))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &l)
	}
	if err != nil {
		return l, fmt.Errorf("read what workers of %s left: %w", lane, err)
	}
	return l, nil
}

// takeOver writes down what the consumer of a lane knows and removes it, unless the queue is
// worked. Interrupted between the two it is done again, which counts one crash too many at worst.
func (s *Store) takeOver(ctx context.Context, jobs jetstream.Stream, lane string, info *jetstream.ConsumerInfo, worked bool) error {
	l, err := s.left(ctx, lane)
	if err != nil {
		return err
	}
	l.Below = jobs.CachedInfo().State.LastSeq
	if worked {
		return s.putLeft(ctx, lane, l)
	}
	delivered, forget, err := s.reached(ctx, lane)
	if err != nil {
		return err
	}
	if info.NumAckPending > 0 {
		delivered = max(delivered, info.Delivered.Stream)
	}
	if l.InHand, err = inHand(ctx, jobs, info.Config.FilterSubject, delivered, l.InHand); err != nil {
		return err
	}
	if err := s.putLeft(ctx, lane, l); err != nil {
		return err
	}
	return errors.Join(jobs.DeleteConsumer(ctx, info.Name), forget(ctx))
}

func (s *Store) putLeft(ctx context.Context, lane string, l left) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = s.fleet.Put(ctx, leftKey(lane), data)
	return err
}

// inHand lists the jobs that were delivered and not settled, each with its count raised by
// one: in a work queue those are the messages still there up to the last that may have been
// delivered.
func inHand(ctx context.Context, jobs jetstream.Stream, subject string, delivered uint64,
	before map[uint64]int,
) (map[uint64]int, error) {
	now := map[uint64]int{}
	for seq := uint64(1); seq <= delivered; {
		m, err := jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.Sequence <= delivered {
			now[m.Sequence] = before[m.Sequence] + 1
		}
		seq = m.Sequence + 1
	}
	return now, nil
}
