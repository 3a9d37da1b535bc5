package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// Whoever changes dead letters holds the claim on them: one entry of FLEET with the chunk that is
// being moved. Two streams cannot change together, so a chunk is written down there before
// anything of it is touched, and whoever comes after an interruption first does the rest of it.
//
// A replay of a chunk is four steps:
//
//  1. the journal: which entries, and the endings (markers) of their jobs;
//  2. the markers are taken away, each by its sequence;
//  3. the copies are published, all or none (an atomic batch), each with a Msg-Id made from its
//     entry's sequence;
//  4. the entries are removed, each by its sequence.
//
// After an interruption the only question is whether step 3 happened. If one copy is on the queue
// they all were published. If none is, then, since a job leaves the queue only after it has an
// ending, each letter tells for itself: a job with an ending that is not the marker of the journal
// has been worked or needs no work any more, and its entry goes; one without was not published, or
// it would be on the queue. Asked in this order, first the queue and then the endings, no answer
// can be missed.
//
// Who claims moves the entry's revision, so that an owner who is still at it stops at its next
// chunk. What it has under way meanwhile is harmless: sequences are never used again, so the
// removals of both are the same, and the broker refuses the second of two batches with the same
// Msg-Ids. That holds for two minutes; a copy that comes twice all the same looks for an ending
// before it is called (HeaderLook), and the first ending wins, as ever.

// ErrBusy says that another process took over changing dead letters.
var ErrBusy = errors.New("another process is changing dead letters")

const claimKey = "dead"

// claim is the right to change dead letters.
type claim struct {
	s        *Store
	revision uint64
	chunk    *journal
}

// journal is a chunk of letters under way.
type journal struct {
	// Discard says why the letters are given up; they are replayed where it is nil.
	Discard *string       `json:"discard,omitempty"`
	Queue   string        `json:"queue,omitempty"`
	Model   string        `json:"model,omitempty"`
	Letters []journalLine `json:"letters"`
	// After is the last sequence of JOBS before any copy was published.
	After uint64 `json:"after,omitempty"`
}

// journalLine is one letter: its sequence in DEAD and that of its marker in RESULTS, 0 if it has
// none any more.
type journalLine struct {
	Entry  uint64 `json:"entry"`
	Marker uint64 `json:"marker,omitempty"`
}

// claimLetters takes the claim and does the rest of what its last owner left; left is how many
// letters that were.
func (s *Store) claimLetters(ctx context.Context) (c *claim, left int, err error) {
	c = &claim{s: s}
	e, err := s.fleet.Get(ctx, claimKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return nil, 0, fmt.Errorf("claim dead letters: %w", err)
	default:
		c.revision = e.Revision()
		if err := json.Unmarshal(e.Value(), &c.chunk); err != nil {
			return nil, 0, fmt.Errorf("decode the claim on dead letters: %w", err)
		}
	}
	if err := c.write(ctx, c.chunk); err != nil {
		return nil, 0, err
	}
	if c.chunk == nil {
		return c, 0, nil
	}
	left = len(c.chunk.Letters)
	if err := c.resume(ctx); err != nil {
		return nil, 0, err
	}
	return c, left, c.write(ctx, nil)
}

// write puts the chunk into the claim; ErrBusy if the claim is another's by now.
func (c *claim) write(ctx context.Context, chunk *journal) error {
	data, err := json.Marshal(chunk)
	if err != nil {
		return fmt.Errorf("encode the claim on dead letters: %w", err)
	}
	var revision uint64
	if c.revision == 0 {
		revision, err = c.s.fleet.Create(ctx, claimKey, data)
	} else {
		revision, err = c.s.fleet.Update(ctx, claimKey, data, c.revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(ending(err), errEnded) {
		return ErrBusy
	}
	if err != nil {
		return fmt.Errorf("write the claim on dead letters: %w", err)
	}
	c.revision, c.chunk = revision, chunk
	return nil
}

// Interrupted counts the letters of a replay or a discard that was interrupted and not yet taken
// up again. Whatever changes letters takes it up first.
func (s *Store) Interrupted(ctx context.Context) (int, error) {
	e, err := s.fleet.Get(ctx, claimKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	var chunk *journal
	if err == nil {
		err = json.Unmarshal(e.Value(), &chunk)
	}
	if err != nil {
		return 0, fmt.Errorf("read the claim on dead letters: %w", err)
	}
	if chunk == nil {
		return 0, nil
	}
	return len(chunk.Letters), nil
}

// side bounds the requests to the broker that are under way side by side.
const side = 16

// beside does f for each of n, some at a time, and returns one of the errors. f may be done twice:
// a request that was on its way to a broker that went away is never answered.
func beside(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	var all sync.WaitGroup
	errs := make(chan error, side)
	for w := range min(side, n) {
		all.Go(func() {
			for i := w; i < n; i += side {
				if err := insist(ctx, func(ctx context.Context) error { return f(ctx, i) }); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// insist does f again as long as it is not answered, until ctx ends, which must have a deadline.
func insist(ctx context.Context, f func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, commitWait)
		err := f(try)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

// The server's refusals of an atomic batch that have a meaning here.
const (
	errCodeDuplicateID jetstream.ErrorCode = 10201 // it holds a Msg-Id that was published lately
	errCodeFull        jetstream.ErrorCode = 10077 // the stream is at its limit of bytes
)

func hasCode(err error, code jetstream.ErrorCode) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.ErrorCode == code
}
