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
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		asked := make(chan chan ending, readAhead)
		read := make(chan error, 1)
		go func() {
			defer close(asked)
			read <- r.keysInOrder(ctx, func(key string) bool {
				c := make(chan ending, 1)
				select {
				case asked <- c:
				case <-ctx.Done():
					return false
				}
				go func() {
					e, err := r.store.Ending(ctx, r.batch.ID, key)
					c <- ending{e, err}
				}()
				return true
			})
		}()
		for c := range asked {
			e := <-c
			if e.err != nil {
				e.err = fmt.Errorf("answer of batch %s: %w", r.batch.ID, e.err)
			}
			if !yield(e.Ending, e.err) || e.err != nil {
				return
			}
		}
		if err := <-read; err != nil {
			yield(consumer.Ending{}, err)
		}
	}
}
