package consumer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"nightshift/producer"
)

// remover takes jobs that have ended off the queue, many with one request: an ack is one fsync
// each on a broker that syncs always, and that would be the limit of everything. Jobs at the
// head of the stream, without a gap that might be somebody else's, are purged by sequence;
// what lies behind such a gap for too long is acked by itself.
//
// A job with an ending may be removed by anyone, so nothing can be lost by it. A crash may undo
// a removal; the job is then delivered again, found ended and removed. That needs the broker's
// next start to be a take-over, so it is done for the embedded broker only.
type remover struct {
	jobs     jetstream.Stream
	log      zerolog.Logger
	patience time.Duration

	mu    sync.Mutex
	ended map[uint64]endedJob
	full  chan struct{} // wakes the sweep before its time
}

type endedJob struct {
	msg   jetstream.Msg
	since time.Time
	acked bool // gone already, kept for the run of sequences it belongs to
}

const (
	// removeEvery is how long ended jobs gather.
	removeEvery = 20 * time.Millisecond
	// removePatience is how long one waits for the jobs before it.
	removePatience = 2 * time.Second
	// removeAtOnce is how many wake the remover early.
	removeAtOnce = 512
	// maxAcks bounds the acks on their way at once.
	maxAcks = 64
	// minBacklog is how many other jobs the stream must hold for a purge. A purge that leaves
	// the last block of the store empty, with jobs that were acked one by one in it, confuses
	// the server (2.15.2: "internal inconsistency"); with so many left that cannot happen, and
	// with fewer an ack for each costs little.
	minBacklog = 4096
)

func newRemover(ctx context.Context, js jetstream.JetStream, log zerolog.Logger) (*remover, error) {
	jobs, err := js.Stream(ctx, producer.Stream)
	if err != nil {
		return nil, err
	}
	return &remover{
		jobs: jobs, log: log, patience: removePatience, ended: map[uint64]endedJob{}, full: make(chan struct{}, 1),
	}, nil
}

// add takes over a job that has an ending.
func (r *remover) add(m jetstream.Msg, sequence uint64) {
	r.mu.Lock()
	r.ended[sequence] = endedJob{msg: m, since: time.Now()}
	n := len(r.ended)
	r.mu.Unlock()
	if n == removeAtOnce {
		select {
		case r.full <- struct{}{}:
		default:
		}
	}
}

// run removes until ctx ends, and then what is left.
func (r *remover) run(ctx context.Context) {
	tick := time.NewTicker(removeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.sweep(ctx, r.patience)
		case <-r.full:
			r.sweep(ctx, r.patience)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
			defer cancel()
			r.sweep(ctx, 0)
			return
		}
	}
}

func (r *remover) sweep(ctx context.Context, patience time.Duration) {
	r.mu.Lock()
	idle := len(r.ended) == 0
	r.mu.Unlock()
	if idle {
		return
	}
	many, err := r.purge(ctx)
	if err != nil && ctx.Err() == nil {
		r.log.Warn().Err(err).Msg("cannot remove ended jobs together, acking each")
	}
	if !many {
		patience = 0
	}
	r.ackOld(ctx, time.Now().Add(-patience))
}

// purge removes the run of ended jobs at the head of the stream, and reports whether there are
// jobs enough in it to go on like that.
func (r *remover) purge(ctx context.Context) (many bool, err error) {
	for {
		info, err := r.jobs.Info(ctx)
		if err != nil {
			return false, err
		}
		first := info.State.FirstSeq
		r.forgetBelow(first)
		next, ended := r.runFrom(first)
		if info.State.Msgs < ended+minBacklog {
			return false, nil
		}
		if next == first {
			return true, nil
		}
		if err := r.jobs.Purge(ctx, jetstream.WithPurgeSequence(next)); err != nil {
			return false, err
		}
	}
}

// runFrom returns the sequence after the run of ended jobs that starts at first, and how many
// ended jobs there are.
func (r *remover) runFrom(first uint64) (next, ended uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for next = first; ; next++ {
		if _, ok := r.ended[next]; !ok {
			return next, uint64(len(r.ended))
		}
	}
}

func (r *remover) forgetBelow(next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.ended, func(seq uint64, _ endedJob) bool { return seq < next })
}

// ackOld acks the jobs that ended before a time. They stay known until the head of the stream
// has passed them: they are no gap.
func (r *remover) ackOld(ctx context.Context, before time.Time) {
	var acks sync.WaitGroup
	slots := make(chan struct{}, maxAcks)
	for _, seq := range r.old(before) {
		slots <- struct{}{}
		acks.Go(func() {
			defer func() { <-slots }()
			r.ack(ctx, seq)
		})
	}
	acks.Wait()
}

func (r *remover) old(before time.Time) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var old []uint64
	for seq, j := range r.ended {
		if !j.acked && j.since.Before(before) {
			old = append(old, seq)
		}
	}
	slices.Sort(old)
	return old
}

func (r *remover) ack(ctx context.Context, seq uint64) {
	r.mu.Lock()
	j := r.ended[seq]
	r.mu.Unlock()
	// The reply may be lost with the connection; a broker that was killed may not know the
	// delivery and does not reply, and then makes another.
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	err := j.msg.DoubleAck(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.log.Debug().Err(err).Uint64("sequence", seq).Msg("an ended job stays on the queue, trying again")
	}
	if r.ended[seq].msg == j.msg { // not delivered anew meanwhile
		if j.since = time.Now(); err == nil {
			j = endedJob{acked: true} // without the message, which may be long
		}
		r.ended[seq] = j
	}
}

// runRemover is the remover's run, where there is one.
func (c *Consumer) runRemover(ctx context.Context) {
	if c.remove != nil {
		c.remove.run(ctx)
	}
}
