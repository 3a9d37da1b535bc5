package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// inOrder writes the answers in the order of the file. Jobs that came from no file come last, in
// the order they ended.
func (p *printing) inOrder(ctx context.Context) error {
	sorted := newSorter(p.draft)
	defer sorted.close()
	for e, err := range p.store.Endings(ctx, p.batch) {
		if err != nil {
			return err
		}
		if e.Dead {
			continue
		}
		line, err := p.form.answer(e)
		if err != nil {
			return err
		}
		if err := sorted.add(e.Meta.Line, line); err != nil {
			return err
		}
	}
	return sorted.each(p.draft.line)
}

// writeOutputs writes the answers and the dead letters in the order of the file.
func (r *runState) writeOutputs(ctx context.Context) (*summary, error) {
	answers, dead := newSorter(r.out.answers), newSorter(r.out.errors)
	defer answers.close()
	defer dead.close()
	s, err := r.sortEndings(ctx, answers, dead)
	if err != nil {
		return nil, err
	}
	if err := answers.each(r.out.answers.line); err != nil {
		return nil, err
	}
	for l, err := range readAheadOf(r.letters(ctx, dead)) {
		if err != nil {
			return nil, err
		}
		if err := r.out.errors.line(l.ErrorLine()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sortEndings reads the endings of the file's jobs: the answers themselves, and the names of the
// dead letters. Jobs that somebody else published into the batch are of no line.
func (r *runState) sortEndings(ctx context.Context, answers, dead *sorter) (*summary, error) {
	s := &summary{byClass: map[policy.Class]int{}}
	for e, err := range r.store.Endings(ctx, r.batch.ID) {
		if err == nil && e.Meta.Line > 0 {
			s.add(e)
			if e.Dead {
				err = dead.add(e.Meta.Line, []byte(string(e.Meta.Class)+" "+e.Key))
			} else {
				err = answers.add(e.Meta.Line, e.Line)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if n := r.jobs() - s.answered - s.dead; n > 0 {
		return nil, fmt.Errorf("batch %s: %s of %d jobs: %w", r.batch.ID, thousands(n), r.jobs(), consumer.ErrNoEnding)
	}
	return s, nil
}

// letters asks for the dead letters that were sorted, by their class and key.
func (r *runState) letters(ctx context.Context, dead *sorter) iter.Seq[func() (consumer.DeadLetter, error)] {
	return func(yield func(func() (consumer.DeadLetter, error)) bool) {
		err := dead.each(func(text []byte) error {
			class, key, _ := strings.Cut(string(text), " ")
			ask := func() (consumer.DeadLetter, error) {
				return r.store.DeadLetter(ctx, r.batch.ID, policy.Class(class), key)
			}
			if !yield(ask) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(func() (consumer.DeadLetter, error) { return consumer.DeadLetter{}, err })
		}
	}
}

// errEnough ends a reading whose reader has gone.
var errEnough = errors.New("enough")

// readAhead is how many questions are asked at once. One at a time would leave the broker idle
// between them.
const readAhead = 64

// readAheadOf asks many questions at once and gives the answers in the order of the questions.
func readAheadOf[T any](asks iter.Seq[func() (T, error)]) iter.Seq2[T, error] {
	type answer struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		done := make(chan struct{})
		asked := make(chan chan answer, readAhead)
		go func() {
			defer close(asked)
			for ask := range asks {
				c := make(chan answer, 1)
				select {
				case asked <- c:
				case <-done:
					return
				}
				go func() {
					v, err := ask()
					c <- answer{v, err}
				}()
			}
		}()
		defer func() { // nobody reads the questions' source any more when this has returned
			close(done)
			for range asked {
			}
		}()
		for c := range asked {
			if a := <-c; !yield(a.value, a.err) {
				return
			}
		}
	}
}

func ignoreNoBatch(err error) error {
	if errors.Is(err, producer.ErrNoBatch) {
		return nil
	}
	return err
}
