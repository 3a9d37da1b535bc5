package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// lying is a job as it lies in JOBS, delivered to nobody. It is settled like a delivery: one
// that has ended is to be removed, and handing it back leaves it where it is.
type lying struct {
	gotMsg
	subject  string
	jobs     jetstream.Stream
	delivery *delivery
	fault    *policy.Fault
	ended    bool
}

var _ jetstream.Msg = (*lying)(nil)

// Metadata tells of the deliveries that its history knows.
func (s *lying) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Stream: s.sequence},
		NumDelivered: s.delivery.history.Deliveries, Timestamp: s.published(), Stream: producer.Stream,
	}, nil
}

// published is when the broker stored it.
func (s *lying) published() time.Time {
	at, err := time.Parse(time.RFC3339Nano, s.header.Get(jetstream.TimeStampHeaer))
	if err != nil { // the broker writes it, and it is for people and for deadlines: nothing has passed
		return time.Now()
	}
	return at
}

func (s *lying) Data() []byte         { return s.data }
func (s *lying) Headers() nats.Header { return s.header }
func (s *lying) Subject() string      { return s.subject }
func (s *lying) Reply() string        { return "" }

// TermWithReason says that the job has ended; many are removed together.
func (s *lying) TermWithReason(string) error { s.ended = true; return nil }
func (s *lying) Term() error                 { return s.TermWithReason("") }
func (s *lying) Ack() error                  { return s.TermWithReason("") }

// DoubleAck removes it at once. One that is gone already was removed by the worker it was with.
func (s *lying) DoubleAck(ctx context.Context) error {
	err := s.jobs.DeleteMsg(ctx, s.sequence)
	if err == nil {
		return nil
	}
	if _, gone := s.jobs.GetMsg(ctx, s.sequence); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

func (s *lying) Nak() error                       { return nil }
func (s *lying) NakWithDelay(time.Duration) error { return nil }
func (s *lying) InProgress() error                { return nil }

// deadline is that of all jobs of a subject; known is false where each may have its own.
func (x *expirer) deadline(ctx context.Context, q *queue, subject string) (deadline time.Time, known bool, err error) {
	batch := producer.SubjectBatch(subject)
	if !producer.ValidName(batch) {
		return deadline, false, nil
	}
	e, err := x.batches.Get(ctx, batch)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return deadline, false, nil
	}
	var b producer.Batch
	if err == nil {
		err = json.Unmarshal(e.Value(), &b)
	}
	if err != nil {
		return deadline, false, fmt.Errorf("read batch %s: %w", batch, err)
	}
	return b.Deadline, !b.Deadline.IsZero() || q.Within == 0, nil
}
