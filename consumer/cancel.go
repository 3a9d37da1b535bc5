package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// cancelMark tells workers that the jobs of a batch are not wanted any more.
type cancelMark struct {
	At time.Time `json:"at"`
	// Now cuts the calls in flight; without it they finish.
	Now bool `json:"now"`
	// Last is the sequence of JOBS up to which jobs of the batch are not wanted: those that
	// are put back later are.
	Last uint64 `json:"last"`
}

const cancelPrefix = "cancel."

// Cancel takes the jobs of a stopped batch (see producer.Producer.Stop) off its queue and tells the
// workers. What runs finishes and is kept; with now it is cut, which loses what the calls cost. A
// job without an ending is then a cancelled one: that is not written down job by job. It returns
// how many jobs were taken off the queue, and may be repeated.
func (s *Store) Cancel(ctx context.Context, b producer.Batch, now bool) (int, error) {
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	mark := cancelMark{At: time.Now().UTC(), Now: now, Last: jobs.CachedInfo().State.LastSeq}
	data, err := json.Marshal(mark)
	if err == nil {
		_, err = s.fleet.Put(ctx, cancelPrefix+b.ID, data)
	}
	if err != nil {
		return 0, fmt.Errorf("tell the workers that %s is cancelled: %w", b.ID, err)
	}
	lane, err := s.Lane(ctx, b.Queue, b.ID)
	if err != nil {
		return 0, err
	}
	return lane.Queued + lane.Held, s.purge(ctx, producer.Stream, producer.Subject(b.Queue, b.ID))
}

// Delete removes all that is kept of a batch but its manifest: answers, dead letters, histories.
// It may be repeated after an interruption.
func (s *Store) Delete(ctx context.Context, batch string) error {
	for _, p := range [][2]string{
		{DeadStream, "dead." + batch + ".>"},
		{ResultsStream, resultSubject(batch, ">")},
		{"KV_" + historyBucket, "$KV." + historyBucket + "." + historyKey(batch, ">")},
	} {
		if err := s.purge(ctx, p[0], p[1]); err != nil {
			return err
		}
	}
	for _, key := range []string{ledgerPrefix + batch, cancelPrefix + batch, pauseKey(PauseBatch, batch)} {
		if err := s.fleet.Purge(ctx, key, jetstream.PurgeTTL(time.Hour)); err != nil {
			return fmt.Errorf("forget %s: %w", key, err)
		}
	}
	return nil
}

func (s *Store) purge(ctx context.Context, stream, subject string) error {
	st, err := s.js.Stream(ctx, stream)
	if err == nil {
		err = st.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("remove %s from %s: %w", subject, stream, err)
	}
	return nil
}

// cancels are the batches that a worker knows to be cancelled, each up to a sequence of JOBS.
type cancels struct {
	mu      sync.Mutex
	batches map[string]uint64
}

// has says whether a job is not wanted any more.
func (k *cancels) has(d *delivery) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return d.meta.Sequence.Stream <= k.batches[d.job.Batch]
}

func (k *cancels) set(batch string, last uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.batches == nil {
		k.batches = map[string]uint64{}
	}
	k.batches[batch] = last
}

// applyCancel keeps this worker's calls in step with what is cancelled.
func (c *Consumer) applyCancel(e jetstream.KeyValueEntry) {
	batch := strings.TrimPrefix(e.Key(), cancelPrefix)
	var mark cancelMark // the zero one for a batch that was deleted
	if e.Operation() == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &mark) != nil {
		return
	}
	c.cancels.set(batch, mark.Last)
	if mark.Now {
		c.leases.cut(batch, mark.Last)
	}
}

// notWanted ends the work on a job whose batch was cancelled while it waited here for its turn or
// for its next try; a call that is on its way is not touched.
func (c *Consumer) notWanted(d *delivery) (policy.Reply, bool) {
	if !c.cancels.has(d) {
		return policy.Reply{}, false
	}
	d.lease.cancel()
	return policy.Reply{Err: context.Canceled}, true
}

// cut ends the calls for the jobs of a batch up to a sequence.
func (l *leases) cut(batch string, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for x := range l.held {
		if x.seq <= last && producer.SubjectBatch(x.msg.Subject()) == batch {
			x.cancel()
		}
	}
}

// running counts the jobs in hand by lane.
func (l *leases) running() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for x := range l.held {
		n[laneName(x.msg.Subject())]++
	}
	return n
}
