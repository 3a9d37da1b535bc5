package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"nightshift/consumer"
	"nightshift/producer"
)

// spot is where the ending of a line stands, in 16 bytes.
type spot struct {
	line     uint32
	sequence uint64
}

// inOrder writes the answers in the order of the file: first it learns where each is, then it
// gets them, many at a time. Jobs that came from no file come last, in the order they ended.
func (p *printing) inOrder(ctx context.Context) error {
	var spots []spot
	for e, err := range p.store.EndingHeads(ctx, p.batch) {
		if err != nil {
			return err
		}
		if !e.Dead {
			spots = append(spots, spot{uint32(e.Meta.Line) - 1, e.Sequence}) //nolint:gosec // a line number fits; 0 goes last
		}
	}
	slices.SortFunc(spots, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.sequence, b.sequence))
	})
	asks := func(yield func(func() (consumer.Ending, error)) bool) {
		for _, s := range spots {
			if !yield(func() (consumer.Ending, error) { return p.store.EndingAt(ctx, s.sequence) }) {
				return
			}
		}
	}
	for e, err := range readAheadOf(asks) {
		if errors.Is(err, consumer.ErrNoEnding) { // deleted meanwhile
			continue
		}
		if err != nil {
			return err
		}
		if err := p.answer(e); err != nil {
			return err
		}
	}
	return nil
}

func ignoreNoBatch(err error) error {
	if errors.Is(err, producer.ErrNoBatch) {
		return nil
	}
	return err
}
