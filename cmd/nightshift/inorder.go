package main

import (
	"context"
	"fmt"
	"iter"

	"nightshift/consumer"
)

// readAhead is how many endings are asked for at once. One at a time would leave the broker
// idle between questions.
const readAhead = 64

type ending struct {
	consumer.Ending
	err error
}

// endingsInOrder looks up the ending of every line of the file, in its order.
func (r *runState) endingsInOrder(ctx context.Context) iter.Seq2[consumer.Ending, error] {
	return func(yield func(consumer.Ending, error) bool) {
		var read error
		asks := func(yield func(func() (consumer.Ending, error)) bool) {
			read = r.keysInOrder(ctx, func(key string) bool {
				return yield(func() (consumer.Ending, error) { return r.store.Ending(ctx, r.batch.ID, key) })
			})
		}
		for e, err := range readAheadOf(asks) {
			if err != nil {
				err = fmt.Errorf("answer of batch %s: %w", r.batch.ID, err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if read != nil {
			yield(consumer.Ending{}, read)
		}
	}
}

// readAheadOf asks many questions at once and gives the answers in the order of the questions.
func readAheadOf(asks iter.Seq[func() (consumer.Ending, error)]) iter.Seq2[consumer.Ending, error] {
	return func(yield func(consumer.Ending, error) bool) {
		done := make(chan struct{})
		asked := make(chan chan ending, readAhead)
		go func() {
			defer close(asked)
			for ask := range asks {
				c := make(chan ending, 1)
				select {
				case asked <- c:
				case <-done:
					return
				}
				go func() {
					e, err := ask()
					c <- ending{e, err}
				}()
			}
		}()
		defer func() { // nobody reads the file any more when this has returned
			close(done)
			for range asked {
			}
		}()
		for c := range asked {
			if e := <-c; !yield(e.Ending, e.err) {
				return
			}
		}
	}
}
