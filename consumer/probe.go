package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// probeCheck is how often a worker looks whether a held provider is due for a probe.
const probeCheck = 250 * time.Millisecond

// probe tries one job of a held provider when its time has come, until ctx ends. Whichever
// worker moves the hold's revision first does it; the others see the new time.
func (c *Consumer) probe(ctx, calls context.Context, account string) {
	guard := c.guards[account]
	for sleep(ctx, probeCheck) {
		hold := guard.State().Hold
		if hold == nil || time.Now().Before(hold.Probe) || !c.fleet.claimProbe(ctx, account) {
			continue
		}
		for _, q := range c.queues {
			if q.Account == account && c.probeOne(ctx, calls, q) {
				break
			}
		}
	}
}

// probeOne delivers one job and says whether the queue had any. An answer ends the hold.
func (c *Consumer) probeOne(ctx, calls context.Context, q *queue) bool {
	if !q.guard.ProbeSlot() {
		return true
	}
	before := c.stats.answered.Load()
	got, err := c.fetchProbe(calls, q)
	if err != nil {
		c.c.Log.Warn().Err(err).Str("queue", q.Name).Msg("cannot probe the held provider")
	}
	if got && c.stats.answered.Load() > before {
		if err := c.store.Release(ctx, q.Account); err != nil {
			c.c.Log.Error().Err(err).Msg("the hold stays")
		}
	}
	return got
}

func (c *Consumer) fetchProbe(calls context.Context, q *queue) (bool, error) {
	batch, err := q.consumer.Fetch(1, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		q.guard.Give(1)
		return false, err
	}
	got := false
	for m := range batch.Messages() {
		got = true
		c.deliver(calls, q, m)
	}
	if !got {
		q.guard.Give(1)
	}
	return got, batch.Error()
}

// claimProbe moves the hold's next probe, if no other worker has; the winner probes.
func (f *fleet) claimProbe(ctx context.Context, account string) bool {
	e, err := f.kv.Get(ctx, holdPrefix+account)
	if err != nil {
		return false
	}
	h, err := decodeHold(e)
	if err != nil || time.Now().Before(h.Probe) {
		return false
	}
	guard := f.guards[account]
	h.Probes++
	h.Probe = time.Now().UTC().Add(guard.ProbeDelay(h.Probes))
	data, err := json.Marshal(h)
	if err != nil {
		return false
	}
	if _, err := f.kv.Update(ctx, holdPrefix+account, data, e.Revision()); err != nil {
		return false
	}
	guard.SetHold(&h)
	return true
}

// Release ends the hold of a provider: workers pull again at once.
func (s *Store) Release(ctx context.Context, account string) error {
	_, err := s.fleet.Get(ctx, holdPrefix+account)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("provider %s is not held", account)
	}
	if err == nil {
		err = s.fleet.Purge(ctx, holdPrefix+account, jetstream.PurgeTTL(time.Hour))
	}
	if err != nil {
		return fmt.Errorf("release provider %s: %w", account, err)
	}
	return nil
}
