package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// reach is how far into JOBS a worker may have called the jobs of a lane. With an embedded
// broker it is written down before any of them is called: the broker writes down what it handed
// out only every 100 ms, and what it had not when it was killed with its workers would count
// neither as called twice nor as what kills them.
type reach struct {
	mu  sync.Mutex
	seq uint64 // as written down
}

// next moves the reach beyond seq if it has to: a window further, so that writing it down
// costs a share of a write for each job. After a crash as many may count as called though
// they were not.
func (r *reach) next(seq uint64, window int) bool {
	if seq <= r.seq {
		return false
	}
	r.seq = seq + uint64(max(window, 0))
	return true
}

const reachPrefix = "reach."

// noteWait bounds the wait for the broker; the job is in hand meanwhile.
const noteWait = time.Second

func reachKey(lane, worker string) string { return reachPrefix + lane + "." + worker }

// note writes down, if it is not yet, that the job may be in hand.
func (c *Consumer) note(ctx context.Context, l *lane, m jetstream.Msg) {
	meta, err := m.Metadata()
	if !c.c.Embedded || err != nil {
		return // deliver says what is wrong with it
	}
	l.reach.mu.Lock()
	defer l.reach.mu.Unlock()
	if !l.reach.next(meta.Sequence.Stream, l.guard.State().Window) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteWait)
	defer cancel()
	data, err := json.Marshal(l.reach.seq)
	if err == nil {
		_, err = c.store.fleet.Put(ctx, reachKey(l.name, c.c.Worker), data)
	}
	if err != nil {
		c.c.Log.Warn().Err(err).Str("queue", l.Name).Msg("calls made twice may be counted short after a crash")
	}
}

// withdraw takes back what note wrote, when nothing is in hand any more.
func (c *Consumer) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), tellWait)
	defer cancel()
	for _, l := range c.lanes.of("") {
		if l.reach.seq == 0 {
			continue
		}
		if err := c.store.fleet.Purge(ctx, reachKey(l.name, c.c.Worker), jetstream.PurgeTTL(time.Minute)); err != nil {
			c.c.Log.Debug().Err(err).Msg("the reach stays until the next take-over")
		}
	}
}

// reached is how far the workers of a lane may have come; it forgets what they noted.
func (s *Store) reached(ctx context.Context, lane string) (last uint64, forget func(context.Context) error, err error) {
	var keys []string
	all, err := present(ctx, s.fleet, reachPrefix+lane+".", func(e jetstream.KeyValueEntry) (seq uint64, err error) {
		keys = append(keys, e.Key())
		if err := json.Unmarshal(e.Value(), &seq); err != nil {
			return 0, fmt.Errorf("decode reach: %w", err)
		}
		return seq, nil
	})
	for _, seq := range all {
		last = max(last, seq)
	}
	return last, func(ctx context.Context) error {
		for _, k := range keys {
			if err := s.fleet.Purge(ctx, k, jetstream.PurgeTTL(time.Minute)); err != nil {
				return err
			}
		}
		return nil
	}, err
}
