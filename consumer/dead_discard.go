package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"nightshift/producer"
)

// discard moves the chunk's letters to where the discarded ones are counted. Done twice it comes
// to the same, so an interrupted one is done again. The new entries are written before the old
// ones go: nothing is lost between the two.
func (c *claim) discard(ctx context.Context, letters []DeadLetter) (err error) {
	if len(letters) == 0 {
		return nil
	}
	old := slices.Clone(letters) // with the subjects that they have now
	entries := make([]*nats.Msg, len(letters))
	for i := range letters {
		l := &letters[i]
		l.Discarded, l.Reason = time.Now().UTC(), *c.chunk.Discard
		l.Body, l.Edited = nil, nil
		if entries[i], err = l.entry(deadSubject(l.Batch, classDiscarded, l.Key), 0); err != nil {
			return err
		}
	}
	if err := producer.PublishAtomic(ctx, c.s.js.Conn(), entries); err != nil {
		return fmt.Errorf("write discarded letters: %w", err)
	}
	return c.removeEntries(ctx, old)
}
