package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Notice is a message to somebody outside that something happened, kept in FLEET until it has been
// delivered, so that any worker may deliver it and none does so twice.
type Notice struct {
	// Event is its id, the same whoever finds out; To names who is told, without the address.
	Event string `json:"event"`
	To    string `json:"to"`
	// At is when it happened, Body what is sent.
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
	// Tries counts what failed. Until is how long nobody else sends it: somebody does, or it waits
	// for its next try.
	Tries int       `json:"tries,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Delivered is when it was accepted, GivenUp when it was too old to try again.
	Delivered time.Time `json:"delivered,omitzero"`
	GivenUp   time.Time `json:"given_up,omitzero"`

	revision uint64
}

// ErrNoticeTaken says that another worker has written the notice since it was read.
var ErrNoticeTaken = errors.New("another worker has the notice")

const (
	noticePrefix = "notify."
	// noticeAge is how long a notice is kept after its last change. Events older than that must not
	// be put again.
	noticeAge = 3 * 24 * time.Hour
)

// Over says that there is nothing more to do for it.
func (n *Notice) Over() bool { return !n.Delivered.IsZero() || !n.GivenUp.IsZero() }

// PutNotice writes a notice, a new one if it was not read from the store; ErrNoticeTaken when
// somebody else was first.
func (s *Store) PutNotice(ctx context.Context, n *Notice) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode notice %s: %w", n.Event, err)
	}
	subject := "$KV." + fleetBucket + "." + noticePrefix + n.Event + "." + n.To
	ack, err := s.js.Publish(ctx, subject, data,
		jetstream.WithExpectLastSequencePerSubject(n.revision), jetstream.WithMsgTTL(noticeAge))
	switch {
	case errors.Is(ending(err), errEnded):
		return fmt.Errorf("notice %s: %w", n.Event, ErrNoticeTaken)
	case err != nil:
		return fmt.Errorf("write notice %s: %w", n.Event, err)
	}
	n.revision = ack.Sequence
	return nil
}

// Notices lists those that are kept.
func (s *Store) Notices(ctx context.Context) ([]Notice, error) {
	return present(ctx, s.fleet, noticePrefix, func(e jetstream.KeyValueEntry) (n Notice, err error) {
		if err := json.Unmarshal(e.Value(), &n); err != nil {
			return n, fmt.Errorf("decode notice: %w", err)
		}
		n.revision = e.Revision()
		return n, nil
	})
}

// LastEnding tells when the latest ending of a batch that stands was stored, and its sequence;
// ErrNoEnding when there is none.
func (s *Store) LastEnding(ctx context.Context, batch string) (at time.Time, sequence uint64, err error) {
	m, err := s.results.GetLastMsgForSubject(ctx, resultSubject(batch, ">"))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return at, 0, ErrNoEnding
	case err != nil:
		return at, 0, fmt.Errorf("last ending of %s: %w", batch, err)
	}
	return m.Time, m.Sequence, nil
}
