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
	if err := r.purge(ctx); err != nil && ctx.Err() == nil {
		r.log.Warn().Err(err).Msg("cannot remove ended jobs together, acking each")
		patience = 0
	}
	r.ackOld(ctx, time.Now().Add(-patience))
}

// purge removes the run of ended jobs at the head of the stream.
func (r *remover) purge(ctx context.Context) error {
	for {
		info, err := r.jobs.Info(ctx)
		if err != nil {
			return err
		}
		first := info.State.FirstSeq
		next := r.runFrom(first)
		if next == first {
			return nil
		}
		if err := r.jobs.Purge(ctx, jetstream.WithPurgeSequence(next)); err != nil {
			return err
		}
		r.forgetBelow(next)
	}
}

// runFrom returns the sequence after the run of ended jobs that starts at first.
func (r *remover) runFrom(first uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := first
	for {
		if _, ok := r.ended[next]; !ok {
			return next
		}
		next++
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
		j.acked, j.since = err == nil, time.Now()
		r.ended[seq] = j
	}
}

// runRemover is the remover's run, where there is one.
func (c *Consumer) runRemover(ctx context.Context) {
	if c.remove != nil {
		c.remove.run(ctx)
	}
}
