package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// leases keeps the jobs in hand ours: one sweep tells the broker of all that are due, so that
// thousands of jobs in flight need no timers of their own.
type leases struct {
	wait time.Duration // the broker's AckWait
	mu   sync.Mutex
	held map[*lease]struct{}
	jobs map[uint64]*lease // by the job's sequence
	lost int64             // how many were given up
}

// lease is the claim on one delivered job.
type lease struct {
	seq    uint64
	msg    jetstream.Msg      // its latest delivery
	cancel context.CancelFunc // ends the call when the lease was lost
	beat   time.Time
	lost   bool
}

func newLeases(wait time.Duration) *leases {
	return &leases{wait: wait, held: map[*lease]struct{}{}, jobs: map[uint64]*lease{}}
}

// hold takes up a delivered job. The returned context ends when its lease was lost, as after
// a sleep of the machine: another worker then has the job.
func (l *leases) hold(ctx context.Context, m jetstream.Msg, seq uint64) (context.Context, *lease) {
	ctx, cancel := context.WithCancel(ctx)
	x := &lease{seq: seq, msg: m, cancel: cancel, beat: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[x] = struct{}{}
	l.jobs[seq] = x
	return ctx, x
}

// adopt takes a delivery of a job that is in hand here: a broker that was killed forgets its
// latest deliveries, makes them again, and knows only the new one.
func (l *leases) adopt(m jetstream.Msg, seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.jobs[seq]
	if x == nil || x.lost {
		return false
	}
	x.msg, x.beat = m, time.Now()
	return true
}

// message is the delivery by which the broker knows the job.
func (l *leases) message(x *lease) jetstream.Msg {
	l.mu.Lock()
	defer l.mu.Unlock()
	return x.msg
}

// drop ends the claim, before the job is acked in any way, and says whether it was lost.
func (l *leases) drop(x *lease) (lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, x)
	if l.jobs[x.seq] == x {
		delete(l.jobs, x.seq)
	}
	x.cancel()
	return x.lost
}

func (l *leases) run(ctx context.Context) {
	tick := time.NewTicker(l.wait / 15)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.sweep(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// sweep extends the leases that are a third over, and gives up those that ran out: the broker
// does not fence a late sign of life.
func (l *leases) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for x := range l.held {
		// The wall clock too: the monotonic one may stand still while the machine sleeps.
		age := max(now.Sub(x.beat), now.Round(0).Sub(x.beat.Round(0)))
		switch {
		case x.lost:
		case age > l.wait:
			x.lost = true
			l.lost++
			x.cancel()
		case age >= l.wait/3:
			if x.msg.InProgress() == nil {
				x.beat = now
			}
		}
	}
}
