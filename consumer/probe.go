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

// freshProbe is how long a new worker tries to probe a hold it finds, before its time: who
// starts a worker has perhaps mended what the hold is for. One call is enough, but the first
// jobs it gets may not be due yet.
const freshProbe = 15 * time.Second

// probe tries one job of a held provider when its time has come, until ctx ends. Whichever
// worker moves the hold's revision first does it; the others see the new time.
func (c *Consumer) probe(ctx, calls context.Context, account string) {
	guard := c.guards[account]
	started, fresh := time.Now(), true
	for sleep(ctx, probeCheck) {
		hold := guard.State().Hold
		if hold == nil {
			continue
		}
		fresh = fresh && time.Since(started) < freshProbe
		early := fresh && hold.Since.Before(started) && c.hasJobs(ctx, account)
		if !early && time.Now().Before(hold.Probe) || !c.fleet.claimProbe(ctx, account, early) {
			continue
		}
		before := c.stats.calls.Load()
		for _, l := range c.lanes.of(account) {
			if !c.pauses.paused(l) && c.probeOne(ctx, calls, l) {
				break
			}
		}
		if c.stats.calls.Load() > before {
			fresh = false
		}
	}
}

// probeOne delivers one job and says whether the lane had any. An answer ends the hold.
func (c *Consumer) probeOne(ctx, calls context.Context, l *lane) bool {
	if !l.guard.ProbeSlot() {
		return true
	}
	got, healthy, err := c.fetchProbe(calls, l)
	if err != nil {
		c.c.Log.Warn().Err(err).Str("queue", l.Name).Msg("cannot probe the held provider")
	}
	if healthy {
		c.heal(ctx, l.Account)
	}
	return got
}

// heal ends the hold of a provider that has answered. One that was not sure the guard ends itself.
func (c *Consumer) heal(ctx context.Context, account string) {
	if c.guards[account].State().Hold == nil {
		return
	}
	if err := c.store.healed(ctx, account); err != nil {
		c.c.Log.Error().Err(err).Msg("the hold stays")
	}
}

func (c *Consumer) fetchProbe(calls context.Context, l *lane) (got, healthy bool, err error) {
	batch, err := c.fetchJobs(l, 1, fetchWait)
	if err != nil {
		l.guard.Give(1)
		return false, false, err
	}
	for m := range batch.Messages() {
		got = true
		c.note(calls, l, m)
		healthy = c.deliver(calls, l, m, l.main())
	}
	if !got {
		l.guard.Give(1)
	}
	return got, healthy, batch.Error()
}

// hasJobs says whether a probe would find any job.
func (c *Consumer) hasJobs(ctx context.Context, account string) bool {
	for _, l := range c.lanes.of(account) {
		if c.pauses.paused(l) {
			continue
		}
		if info, err := l.source().Info(ctx); err == nil && info.NumPending+uint64(info.NumAckPending) > 0 { //nolint:gosec // a count
			return true
		}
	}
	return false
}

// claimProbe moves the hold's next probe, if no other worker has; the winner probes. early
// claims one more before its time.
func (f *fleet) claimProbe(ctx context.Context, account string, early bool) bool {
	guard := f.guards[account]
	e, err := f.kv.Get(ctx, holdPrefix+account)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		// Released, or never told: nobody could release a hold that only this worker knows.
		guard.SetHold(nil)
	}
	if err != nil {
		return false
	}
	h, err := decodeHold(e)
	due := !time.Now().Before(h.Probe)
	if err != nil || !due && !early {
		return false
	}
	if due {
		h.Probes++
		h.Probe = time.Now().UTC().Add(guard.ProbeDelay(h.Probes))
	}
	data, err := json.Marshal(h)
	if err != nil {
		return false
	}
	// The guard learns of it by the watch, in order with a release that may come now.
	_, err = f.kv.Update(ctx, holdPrefix+account, data, e.Revision())
	return err == nil
}

// Release ends the hold of a provider: workers pull again at once.
func (s *Store) Release(ctx context.Context, account string) error {
	return s.release(ctx, account, func(key string) error {
		return s.fleet.Purge(ctx, key, jetstream.PurgeTTL(time.Hour))
	})
}

// healed is Release of a provider that has answered. That is known to all then, as it is deleted and
// not purged.
func (s *Store) healed(ctx context.Context, account string) error {
	return s.release(ctx, account, func(key string) error { return s.fleet.Delete(ctx, key) })
}

func (s *Store) release(ctx context.Context, account string, remove func(key string) error) error {
	_, err := s.fleet.Get(ctx, holdPrefix+account)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("provider %s is not held", account)
	}
	if err == nil {
		err = remove(holdPrefix + account)
	}
	if err != nil {
		return fmt.Errorf("release provider %s: %w", account, err)
	}
	return nil
}
