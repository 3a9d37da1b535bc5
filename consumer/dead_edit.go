package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go"

	"nightshift/producer"
)

// Edit says how the requests of letters are changed.
type Edit struct {
	// Change makes the new message of a job from its letter, with what a replay would send now.
	Change func(l *DeadLetter, now []byte) ([]byte, error)
	// DryRun only finds out whether all can be changed.
	DryRun bool
}

// EditError says why a letter cannot be edited. It holds nothing of a prompt.
type EditError struct {
	ID  string // BATCH/JOB
	Err error
}

// Error names the letter and what is wrong.
func (e *EditError) Error() string { return "edit " + e.ID + ": " + e.Err.Error() }

// Unwrap gives what is wrong.
func (e *EditError) Unwrap() error { return e.Err }

// ErrTooLarge says that what was edited does not fit beside the original.
var ErrTooLarge = errors.New("too large to be kept beside the original: submit it as a new job instead")

// Edit changes what a replay of the letters that f chooses will send, and says how many were. The
// original stays in the entry. What Change makes must be a job that keeps its custom_id, and is
// checked as a line of a file is, and for the types of well-known members; an *EditError otherwise, and
// with Change's own error.
func (s *Store) Edit(ctx context.Context, f Filter, e Edit) (int, error) {
	if e.DryRun {
		return s.editAll(ctx, f, e)
	}
	c, _, err := s.claimLetters(ctx)
	if err != nil {
		return 0, err
	}
	n, err := s.editAll(ctx, f, e)
	return n, errors.Join(err, c.release(ctx))
}

func (s *Store) editAll(ctx context.Context, f Filter, e Edit) (n int, err error) {
	for chunk, err := range s.chunks(ctx, f, Replay{}) {
		if err != nil {
			return n, err
		}
		if err := s.editChunk(ctx, chunk, e); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}

// editChunk edits all of the letters or none.
func (s *Store) editChunk(ctx context.Context, chunk []DeadLetter, e Edit) error {
	ctx, cancel := context.WithTimeout(ctx, chunkWait)
	defer cancel()
	entries := make([]*nats.Msg, len(chunk))
	if err := beside(ctx, len(chunk), func(ctx context.Context, i int) (err error) {
		entries[i], err = s.edited(ctx, chunk[i].Entry, e)
		return err
	}); err != nil || e.DryRun {
		return err
	}
	if err := producer.PublishAtomic(ctx, s.js.Conn(), entries); err != nil {
		return fmt.Errorf("write edited letters: %w", err)
	}
	return nil
}

// edited makes the entry that takes the place of another.
func (s *Store) edited(ctx context.Context, entry uint64, e Edit) (*nats.Msg, error) {
	m, err := s.dead.GetMsg(ctx, entry)
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", entry, err)
	}
	l, err := readLetter(m.Header, m.Data, m.Sequence, m.Time)
	if err != nil {
		return nil, err
	}
	data, err := e.Change(&l, l.Request())
	if err == nil {
		err = l.fits(data, int(s.js.Conn().MaxPayload()))
	}
	if err != nil {
		return nil, &EditError{l.ID(), err}
	}
	l.Edited = data
	l.Edits++
	return l.entry(m.Subject, entry)
}

// fits checks what an edit came to.
func (l *DeadLetter) fits(data []byte, maxPayload int) error {
	header := nats.Header{}
	maps.Copy(header, l.Headers)
	header.Del(producer.HeaderInvalid)
	job, err := producer.Decode(producer.Subject(l.Queue, l.Batch), header, data, max(l.Job, 1))
	switch {
	case err != nil:
		return err
	case l.CustomID != "" && job.ID != l.CustomID:
		return errors.New("custom_id names the job and cannot change")
	case len(l.Body)+len(data) > maxPayload-producer.Headroom:
		return ErrTooLarge
	}
	body, isLine := RequestBody(data)
	if !isLine {
		body = data
	}
	return mistyped(body)
}
