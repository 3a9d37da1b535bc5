package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// errEnded says that another worker's ending was first.
var errEnded = errors.New("the job has ended already")

// errCodeWrongLastSequence is the server's answer to an expectation that does not hold.
const errCodeWrongLastSequence jetstream.ErrorCode = 10071

// committer stores the outcomes of concurrent jobs together: while some are on their way to the
// disk, the next gather. On a broker that fsyncs every write they go as one atomic batch, which
// is one fsync for many. Elsewhere the fixed cost of a batch, some milliseconds, would be most
// of it, and they go side by side.
type committer struct {
	js     jetstream.JetStream
	in     chan commit
	atomic bool
	rest   time.Duration // before the next atomic batch
}

type commit struct {
	msg  *nats.Msg
	done chan error
}

// A batch is bounded in bytes, so that long answers do not fill the connection's buffers.
const maxCommitBytes = 8 << 20

// commitWait bounds one round trip to the broker.
const commitWait = 5 * time.Second

func newCommitter(js jetstream.JetStream, atomic bool) *committer {
	return &committer{js: js, in: make(chan commit, producer.MaxAtomic), atomic: atomic}
}

// put stores m and returns when the broker has it on disk: nil, errEnded, or why not.
func (c *committer) put(ctx context.Context, m *nats.Msg) error {
	done := make(chan error, 1)
	select {
	case c.in <- commit{m, done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	// Once handed over it is answered: whoever gave up waiting would not know the outcome.
	return <-done
}

// run commits until ctx ends; nobody may call put after that.
func (c *committer) run(ctx context.Context) {
	for {
		select {
		case first := <-c.in:
			c.store(c.gather(first))
		case <-ctx.Done():
			return
		}
	}
}

// The committer rests restShare times as long as the commit before took, so that much gathers
// and the disk is left to others, but never longer than maxRest.
const (
	restShare = 3
	maxRest   = 100 * time.Millisecond
)

// gather adds to first what is ready, and on a broker that syncs always what becomes ready
// while the disk rests.
func (c *committer) gather(first commit) []commit {
	batch := []commit{first}
	size := len(first.msg.Data)
	rest := time.NewTimer(c.rest)
	defer rest.Stop()
	rested := c.rest == 0
	for len(batch) < producer.MaxAtomic && size < maxCommitBytes {
		select {
		case next := <-c.in:
			batch = append(batch, next)
			size += len(next.msg.Data)
			continue
		default:
		}
		if rested {
			return batch
		}
		select {
		case next := <-c.in:
			batch = append(batch, next)
			size += len(next.msg.Data)
		case <-rest.C:
			rested = true
		}
	}
	return batch
}

// minAtomic is from how many messages on an atomic batch costs less than that many fsyncs.
const minAtomic = 5

func (c *committer) store(batch []commit) {
	if c.atomic {
		defer func(start time.Time) { c.rest = min(restShare*time.Since(start), maxRest) }(time.Now())
	}
	if !c.atomic || len(batch) < minAtomic {
		c.each(batch)
		return
	}
	err := c.together(batch)
	// One of them has an ending or is larger than the broker takes: it must not keep the others.
	if _, refused := errors.AsType[*jetstream.APIError](err); refused || errors.Is(err, nats.ErrMaxPayload) {
		c.each(batch)
		return
	}
	for _, b := range batch {
		b.done <- err
	}
}

func (c *committer) together(batch []commit) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitWait)
	defer cancel()
	msgs := make([]*nats.Msg, len(batch))
	for i := range batch {
		msgs[i] = batch[i].msg
	}
	return producer.PublishAtomic(ctx, c.js.Conn(), msgs)
}

// each publishes all at once and each by itself, and waits for all of them, so that the next
// can gather.
func (c *committer) each(batch []commit) {
	futures := make([]jetstream.PubAckFuture, len(batch))
	for i, b := range batch {
		var err error
		if futures[i], err = c.js.PublishMsgAsync(b.msg, jetstream.WithStallWait(commitWait)); err != nil {
			b.done <- err
		}
	}
	deadline := time.NewTimer(commitWait)
	defer deadline.Stop()
	for i, f := range futures {
		if f == nil {
			continue
		}
		select {
		case <-f.Ok():
			batch[i].done <- nil
		case err := <-f.Err():
			batch[i].done <- ending(err)
		case <-deadline.C:
			batch[i].done <- context.DeadlineExceeded
			deadline.Reset(0) // and so for the rest
		}
	}
}

// ending tells the refusal that means another ending was first from other errors.
func ending(err error) error {
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == errCodeWrongLastSequence {
		return errEnded
	}
	return err
}
