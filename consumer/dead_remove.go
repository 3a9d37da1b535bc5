package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// A removal is an fsync on a broker that syncs always, which would be the limit of a replay. But
// the letters of a batch and class are mostly replayed oldest first with none left out, and what a
// stream holds of a filter up to a sequence goes with one purge, which is one fsync.

// minRun is how many removals are worth the look that a purge takes.
const minRun = 64

func (c *claim) removeEntries(ctx context.Context, letters []DeadLetter) error {
	entries := map[string][]uint64{}
	for i := range letters {
		l := &letters[i]
		filter := deadSubject(l.Batch, l.stored(), "*")
		entries[filter] = append(entries[filter], l.Entry)
	}
	return removeByFilter(ctx, c.s.dead, entries)
}

// stored is the class that the letter's subject has.
func (l *DeadLetter) stored() policy.Class {
	if l.Discarded.IsZero() {
		return l.Class
	}
	return classDiscarded
}

func (l *DeadLetter) subject() string { return deadSubject(l.Batch, l.stored(), l.Key) }

// ending is the subject of the job's ending.
func (l *DeadLetter) ending() string { return resultSubject(l.Batch, l.Key) }

func subjectsOf(letters []DeadLetter, of func(*DeadLetter) string) []string {
	subjects := make([]string, len(letters))
	for i := range letters {
		subjects[i] = of(&letters[i])
	}
	return subjects
}

// removeByFilter removes messages, given by the filters that match them and their sequences.
func removeByFilter(ctx context.Context, stream jetstream.Stream, byFilter map[string][]uint64) error {
	var single []uint64
	for filter, sequences := range byFilter {
		single = append(single, removeRun(ctx, stream, filter, sequences)...)
	}
	return removeAll(ctx, stream, single)
}

// removeRun purges the messages of a filter from its first one on, as far as all of them are among
// the sequences, and returns those that are left: all of them where the broker did not say that it
// was done. No message ever comes below a sequence that was given out, so what was read cannot have
// become wrong by the time of the purge.
func removeRun(ctx context.Context, stream jetstream.Stream, filter string, sequences []uint64) []uint64 {
	if len(sequences) < minRun {
		return sequences
	}
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	sequences = slices.Sorted(slices.Values(sequences))
	last, n, err := headRun(ctx, stream, filter, sequences)
	if err != nil || n < minRun {
		return sequences
	}
	behind, err := countFrom(ctx, stream, ">", last+1)
	if err != nil || behind < minBacklog { // the last block must not be emptied
		return sequences
	}
	if stream.Purge(ctx, jetstream.WithPurgeSubject(filter), jetstream.WithPurgeSequence(last+1)) != nil {
		return sequences
	}
	return slices.DeleteFunc(sequences, func(s uint64) bool { return s <= last })
}

// headRun finds how many of the first messages of a filter are among the sequences, which are
// sorted, and the last of them.
func headRun(
	ctx context.Context, stream jetstream.Stream, filter string, sequences []uint64,
) (last uint64, n int, err error) {
	for m, err := range scanFrom(ctx, stream, filter, 1, true) {
		if err != nil {
			return 0, 0, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", filter, err)
		}
		if _, ours := slices.BinarySearch(sequences, meta.Sequence.Stream); !ours {
			break
		}
		last, n = meta.Sequence.Stream, n+1
	}
	return last, n, nil
}

// removeAll removes messages by sequence; one that is gone is none to remove.
func removeAll(ctx context.Context, stream jetstream.Stream, sequences []uint64) error {
	return beside(ctx, len(sequences), func(ctx context.Context, i int) error {
		err := stream.DeleteMsg(ctx, sequences[i])
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // and does not say why
			if _, gerr := stream.GetMsg(ctx, sequences[i]); errors.Is(gerr, jetstream.ErrMsgNotFound) {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("remove message %d of %s: %w", sequences[i], stream.CachedInfo().Config.Name, err)
		}
		return nil
	})
}
