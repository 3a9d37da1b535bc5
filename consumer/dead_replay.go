package consumer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// Replay says how letters are sent again. The zero value sends each as it was to its own queue.
type Replay struct {
	// Queue and Model replace those of the letters.
	Queue, Model string
	// Limit is how many at most, 0 for all.
	Limit int
	// Rate is how many a second at most, 0 for as fast as it goes.
	Rate float64
	// Progress is called after each stored chunk.
	Progress func(Replayed)
}

// Replayed is what came of a replay or a discard.
type Replayed struct {
	// Letters were moved. Resumed are those among them that an interrupted one had begun with.
	Letters int `json:"letters"`
	Resumed int `json:"resumed,omitempty"`
	// Answered letters were left over of jobs that have an answer, and only removed.
	Answered int `json:"answered,omitempty"`
}

// Replay sends the letters that f chooses back to the queue, oldest first. Attempts start afresh;
// what happened before goes with the copy. Letters that come while it is at it are left alone.
//
// When ctx ends it finishes the chunk under way and returns ctx's error. It may be interrupted in
// any way: Replay or Discard, with whatever filter, first does the rest of the chunk. ErrBusy when
// another process took over meanwhile.
func (s *Store) Replay(ctx context.Context, f Filter, r Replay) (Replayed, error) {
	return s.move(ctx, f, r, journal{Queue: r.Queue, Model: r.Model})
}

// Discard gives up the letters that f chooses. Their jobs stay dead and are counted as such; the
// entry goes on without the prompt, with the reason.
func (s *Store) Discard(ctx context.Context, f Filter, reason string) (Replayed, error) {
	return s.move(ctx, f, Replay{}, journal{Discard: &reason})
}

// chunkWait bounds the time for one chunk.
const chunkWait = time.Minute

// A chunk is bounded in bytes too, so that long prompts do not fill the connection's buffers.
const maxChunkBytes = 8 << 20

func (s *Store) move(ctx context.Context, f Filter, r Replay, how journal) (done Replayed, err error) {
	c, left, err := s.claimLetters(context.WithoutCancel(ctx))
	if err != nil {
		return done, err
	}
	done.Letters, done.Resumed = left, left
	report := func() {
		if r.Progress != nil {
			r.Progress(done)
		}
	}
	report()
	start, moved := time.Now(), 0
	for chunk, err := range s.chunks(ctx, f, r) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return done, errors.Join(err, c.release(ctx))
		}
		answered, err := c.do(ctx, chunk, how)
		if err != nil {
			return done, err
		}
		done.Letters += len(chunk) - answered
		done.Answered += answered
		moved += len(chunk)
		report()
		if r.Rate > 0 {
			due := start.Add(time.Duration(float64(moved) / r.Rate * float64(time.Second)))
			sleep(ctx, time.Until(due)) // whether in vain is asked above
		}
	}
	return done, c.release(ctx)
}

// release says that no chunk is under way.
func (c *claim) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	defer cancel()
	return c.write(ctx, nil)
}

// do moves one chunk, whole even if ctx ends, and says how many of it had an answer.
func (c *claim) do(ctx context.Context, chunk []DeadLetter, how journal) (answered int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chunkWait)
	defer cancel()
	if how.Discard != nil {
		for _, l := range chunk {
			how.Letters = append(how.Letters, journalLine{Entry: l.Entry})
		}
		if err := c.write(ctx, &how); err != nil {
			return 0, err
		}
		_, letters, err := c.fresh(ctx, chunk)
		if err != nil {
			return 0, err
		}
		return 0, c.discard(ctx, letters)
	}
	if answered, err = c.s.journalReplay(ctx, chunk, &how); err != nil {
		return answered, err
	}
	if err := c.write(ctx, &how); err != nil {
		return answered, err
	}
	lines, letters, err := c.fresh(ctx, chunk)
	if err != nil {
		return answered, err
	}
	again, err := c.publish(ctx, lines, letters)
	if again && err == nil { // somebody was at the same chunk: what is done of it, and what is not?
		return answered, c.resume(ctx)
	}
	return answered, err
}

// chunks goes through the letters oldest first, as many together as are moved together.
func (s *Store) chunks(ctx context.Context, f Filter, r Replay) iter.Seq2[[]DeadLetter, error] {
	most := producer.MaxAtomic
	if r.Rate > 0 { // ten chunks a second
		most = min(most, max(1, int(math.Ceil(r.Rate/10))))
	}
	return func(yield func([]DeadLetter, error) bool) {
		var chunk []DeadLetter
		n, size := 0, 0
		for l, err := range s.LettersOldest(ctx, f) {
			if err != nil {
				yield(nil, err)
				return
			}
			if r.Limit > 0 && n == r.Limit {
				break
			}
			if len(chunk) > 0 && (len(chunk) == most || size+l.Size > maxChunkBytes) {
				if !yield(chunk, nil) {
					return
				}
				chunk, size = nil, 0
			}
			chunk, n, size = append(chunk, l), n+1, size+l.Size
		}
		if len(chunk) > 0 {
			yield(chunk, nil)
		}
	}
}

// journalReplay writes the letters into the journal with the markers of their jobs. A job that has
// an answer needs no replay: its letter is a leftover, and removed.
func (s *Store) journalReplay(ctx context.Context, chunk []DeadLetter, j *journal) (answered int, err error) {
	const isAnswered = math.MaxUint64
	jobs, err := s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	j.After = jobs.CachedInfo().State.LastSeq
	endings, err := getLast(ctx, s.js.Conn(), ResultsStream, subjectsOf(chunk, (*DeadLetter).ending))
	if err != nil {
		return 0, fmt.Errorf("look for endings: %w", err)
	}
	markers := make([]uint64, len(chunk))
	err = beside(ctx, len(chunk), func(ctx context.Context, i int) error {
		l := &chunk[i]
		m, ok := endings[l.ending()]
		switch {
		case !ok: // markers age, letters do not
		case m.header.Get(headerEnding) != endingDead:
			markers[i] = isAnswered
			return removeAll(ctx, s.dead, []uint64{l.Entry})
		default:
			markers[i] = m.sequence
		}
		return s.removeOriginal(ctx, jobs, l)
	})
	for i, l := range chunk {
		if markers[i] == isAnswered {
			answered++
			continue
		}
		j.Letters = append(j.Letters, journalLine{Entry: l.Entry, Marker: markers[i]})
	}
	return answered, err
}

// removeOriginal takes the job's message off the queue where whoever wrote the letter died before
// telling the broker, and its history: else it would come again beside the copy.
func (s *Store) removeOriginal(ctx context.Context, jobs jetstream.Stream, l *DeadLetter) error {
	if l.Job == 0 || l.Job < jobs.CachedInfo().State.FirstSeq {
		return nil
	}
	m, err := jobs.GetMsg(ctx, l.Job)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && !m.Time.Equal(l.Published) {
		return nil // a stream that was made anew counts anew
	}
	if err != nil {
		return fmt.Errorf("look for job %s: %w", l.Key, err)
	}
	if err := s.dropHistory(ctx, l.Batch, l.Key); err != nil {
		return fmt.Errorf("remove the history of %s: %w", l.Key, err)
	}
	return removeAll(ctx, jobs, []uint64{l.Job})
}
