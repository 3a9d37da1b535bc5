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

// committer stores the outcomes of concurrent jobs together: while one batch is on its way to
// the disk, the next gathers. On a broker that syncs always, that is one fsync for many.
type committer struct {
	js jetstream.JetStream
	in chan commit
}

type commit struct {
	msg  *nats.Msg
	done chan error
}

// A batch is bounded in bytes, so that long answers do not fill the connection's buffers.
const maxCommitBytes = 8 << 20

// commitWait bounds one round trip to the broker.
const commitWait = 20 * time.Second

func newCommitter(js jetstream.JetStream) *committer {
	return &committer{js: js, in: make(chan commit, producer.MaxAtomic)}
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

// gather adds to first what is ready now.
func (c *committer) gather(first commit) []commit {
	batch := []commit{first}
	size := len(first.msg.Data)
	for len(batch) < producer.MaxAtomic && size < maxCommitBytes {
		select {
		case next := <-c.in:
			batch = append(batch, next)
			size += len(next.msg.Data)
		default:
			return batch
		}
	}
	return batch
}

func (c *committer) store(batch []commit) {
	ctx, cancel := context.WithTimeout(context.Background(), commitWait)
	defer cancel()
	if len(batch) > 1 {
		msgs := make([]*nats.Msg, len(batch))
		for i := range batch {
			msgs[i] = batch[i].msg
		}
		err := producer.PublishAtomic(ctx, c.js.Conn(), msgs)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) {
			for _, b := range batch {
				b.done <- err
			}
			return
		}
	}
	// One of them was refused, or there is only one: each by itself.
	for _, b := range batch {
		_, err := c.js.PublishMsg(ctx, b.msg)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == errCodeWrongLastSequence {
			err = errEnded
		}
		b.done <- err
	}
}
