package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stop marks a batch as cancelled, which also ends a submission of it that is going on. It returns
// the manifest; ErrNoBatch when there is none. Stopping it again changes nothing.
func (p *Producer) Stop(ctx context.Context, id string) (Batch, error) {
	return p.change(ctx, id, func(b *Batch) bool {
		if b.Stopped() {
			return false
		}
		b.Cancelled = time.Now().UTC()
		return true
	})
}

// Restart takes back a Stop, and the mark of the batch to its beginning: the next Submit puts
// all its jobs on the queue again, where those that have ended are found and not called.
func (p *Producer) Restart(ctx context.Context, id string) (Batch, error) {
	return p.change(ctx, id, func(b *Batch) bool {
		if !b.Stopped() {
			return false
		}
		b.Cancelled, b.Submitted, b.Published = time.Time{}, time.Time{}, 0
		b.Again++
		return true
	})
}

// Forget removes the manifest of a batch.
func (p *Producer) Forget(ctx context.Context, id string) error {
	if err := p.batches.Purge(ctx, id); err != nil {
		return fmt.Errorf("forget batch %s: %w", id, err)
	}
	return nil
}

// change writes what edit makes of a manifest, from its latest version; edit says whether there
// is anything to write.
func (p *Producer) change(ctx context.Context, id string, edit func(*Batch) bool) (Batch, error) {
	for {
		b, err := p.Batch(ctx, id)
		if err != nil || !edit(&b) {
			return b, err
		}
		if err := p.save(ctx, &b); !errors.Is(err, ErrTaken) {
			return b, err
		}
	}
}

// whyTaken tells a submission whose manifest has changed under it what happened. What it published
// after a cancellation it takes back: the canceller could not see it.
func (p *Producer) whyTaken(ctx context.Context, b Batch, taken error) error {
	now, err := p.Batch(ctx, b.ID)
	if err != nil || !now.Stopped() {
		return taken
	}
	jobs, err := p.js.Stream(ctx, Stream)
	if err == nil {
		err = jobs.Purge(ctx, jetstream.WithPurgeSubject(Subject(now.Queue, now.ID)))
	}
	return errors.Join(fmt.Errorf("batch %s: %w", b.ID, ErrCancelled), wrap(err, "take back the jobs of "+b.ID))
}

// PutBack publishes those jobs of a batch again that want says yes to, and returns how many. src is
// the file the batch was made from, r its report. The consumer looks for an ending of each before
// it calls.
func (p *Producer) PutBack(
	ctx context.Context, src *Source, r Report, b Batch, l Limits, want func(key string) bool,
) (int, error) {
	s := Submission{Queue: b.Queue, Batch: b.ID, SkipInvalid: b.Invalid > 0, Limits: l, Deadline: b.Deadline}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks, read := make(chan chunk, 1), make(chan error, 1)
	go func() {
		defer close(chunks)
		read <- s.readChunks(ctx, src, r, 0, chunks)
	}()
	n := 0
	var err error
	for c := range chunks {
		if c = c.only(want); err != nil || len(c.msgs) == 0 {
			continue
		}
		c.look()
		if err = p.publishChunk(ctx, b, s, c.msgs); err != nil {
			cancel()
			continue
		}
		n += len(c.msgs)
	}
	return n, errors.Join(err, notCancelled(<-read, err))
}

// notCancelled leaves out the reader's own end, where the publishing has failed before.
func notCancelled(read, published error) error {
	if published != nil && errors.Is(read, context.Canceled) {
		return nil
	}
	return read
}

// only keeps the jobs of a chunk that are wanted.
func (c *chunk) only(want func(key string) bool) chunk {
	kept := chunk{lastLine: c.lastLine, lastKey: c.lastKey}
	for i, m := range c.msgs {
		if want(c.keys[i]) {
			kept.msgs = append(kept.msgs, m)
		}
	}
	return kept
}

// SubjectBatch is the batch that a subject of JOBS names; "" for none.
func SubjectBatch(subject string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(subject, subjectRoot), ".")
	return rest
}
