package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// MaxAtomic is how many messages the server takes in one atomic batch.
const MaxAtomic = 1000

// The headers of an atomic batch (ADR-50). nats.go has no call for them yet.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

const (
	// errCodeFull is what the server answers when a stream with DiscardNew is at MaxBytes.
	errCodeFull jetstream.ErrorCode = 10077
	// errCodeIncomplete is its answer to a commit when it could not store what came before.
	errCodeIncomplete jetstream.ErrorCode = 10176
)

// PublishAtomic stores all of msgs or none of them, with one fsync on a broker that syncs
// always. All must go to one stream, at most MaxAtomic of them. A refusal by the server is a
// *jetstream.APIError; a message can then be published again by itself. After any other error, such
// as a nats.ErrDisconnected, it is not known whether they were stored. The server's word on what was
// sent is waited for a little longer than ctx: who asks next would not see what is still to be stored.
func PublishAtomic(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg) error {
	if len(msgs) == 0 {
		return nil
	}
	id := nuid.Next()
	last := len(msgs) - 1
	defer stripBatch(msgs)
	longer, done := Outlast(ctx, commitWait)
	defer done()
	connected, done := whileConnected(longer, nc)
	defer done()
	for i, m := range msgs {
		if m.Header == nil {
			m.Header = nats.Header{}
		}
		m.Header[headerBatchID] = []string{id}
		m.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
		if i == last {
			break
		}
		if err := nc.PublishMsg(m); err != nil {
			return fmt.Errorf("publish atomic batch: %w", err)
		}
	}
	if ctx.Err() != nil { // without the commit nothing is stored
		return fmt.Errorf("publish atomic batch: %w", context.Cause(ctx))
	}
	msgs[last].Header[headerBatchCommit] = []string{"1"}
	reply, err := nc.RequestMsgWithContext(connected, msgs[last])
	if err != nil {
		if cause := context.Cause(connected); cause != nil {
			err = cause
		}
		return fmt.Errorf("commit atomic batch: %w", err)
	}
	return readAck(reply.Data, len(msgs))
}

// commitWait is how much longer than its context a commit waits for the server's word.
const commitWait = 2 * time.Second

// Outlast is ctx, but ends d later, for work that must not be left half done. Its cause is that of
// ctx. The function that it returns frees what it holds.
func Outlast(ctx context.Context, d time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-longer.Done():
		case <-time.After(d):
			cancel(context.Cause(ctx))
		}
	})
	return longer, func() { stop(); cancel(nil) }
}

// whileConnected is ctx until the connection breaks: the answer to what was sent before will not
// come over the next one.
func whileConnected(ctx context.Context, nc *nats.Conn) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	broken := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		select {
		case <-broken:
			cancel(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		nc.RemoveStatusListener(broken)
	}
}

// stripBatch makes the messages fit to be published one by one after a refusal.
func stripBatch(msgs []*nats.Msg) {
	for _, m := range msgs {
		delete(m.Header, headerBatchID)
		delete(m.Header, headerBatchSequence)
		delete(m.Header, headerBatchCommit)
	}
}

func readAck(data []byte, want int) error {
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return fmt.Errorf("read ack of atomic batch: %w", err)
	}
	if ack.Error != nil && ack.Error.ErrorCode == errCodeIncomplete {
		return fmt.Errorf("%w: the broker could not store it, is its disk full?", ack.Error)
	}
	if ack.Error != nil {
		return ack.Error
	}
	if ack.Count != want {
		return fmt.Errorf("commit atomic batch: %d of %d messages stored", ack.Count, want)
	}
	return nil
}

func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errCodeFull
}
