package consumer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// Filter chooses dead letters; its zero value chooses all that are not discarded. The conditions
// combine. Batch and Class are looked for by the broker, the others in the headers: no prompt is
// read.
type Filter struct {
	// IDs are BATCH/JOB. The other conditions hold for them too.
	IDs   []string
	Batch string
	Queue string
	Class policy.Class
	Code  string
	Model string
	// Text is a part of the provider's words, whatever the case of its letters.
	Text   string
	Status int
	// Since and Until bound the last failure.
	Since, Until time.Time
	// Attempts is how many failed calls there were at least.
	Attempts int
	// Before leaves out the entries from this one on: the Entry of the last letter of a page
	// leads to the next.
	Before uint64
	// Discarded chooses the discarded letters instead.
	Discarded bool
}

// ErrBadID says that an id is none of a dead letter.
var ErrBadID = errors.New("no id of a dead letter: expected BATCH/JOB")

// SplitID takes a BATCH/JOB apart; ErrBadID.
func SplitID(id string) (batch, key string, err error) {
	batch, key, _ = strings.Cut(id, "/")
	if !producer.ValidName(batch) || !producer.ValidName(key) {
		return "", "", fmt.Errorf("%q: %w", id, ErrBadID)
	}
	return batch, key, nil
}

func (f *Filter) subject() string {
	batch, class := "*", policy.Class("*")
	if f.Batch != "" {
		batch = f.Batch
	}
	switch {
	case f.Discarded:
		class = classDiscarded
	case f.Class != "":
		class = f.Class
	}
	return deadSubject(batch, class, "*")
}

func (f *Filter) takes(l *DeadLetter) bool {
	switch {
	case f.Discarded == l.Discarded.IsZero(),
		f.Batch != "" && f.Batch != l.Batch,
		f.Queue != "" && f.Queue != l.Queue,
		f.Class != "" && f.Class != l.Class,
		f.Code != "" && f.Code != l.Code,
		f.Model != "" && f.Model != l.Model,
		f.Status != 0 && f.Status != l.Status,
		f.Before != 0 && l.Entry >= f.Before,
		len(l.Attempts) < f.Attempts,
		l.Last.Before(f.Since),
		!f.Until.IsZero() && l.Last.After(f.Until):
		return false
	}
	return f.Text == "" || strings.Contains(strings.ToLower(l.Message), strings.ToLower(f.Text))
}

// The first page of a walk backwards, and the largest: it is held in memory.
const (
	firstPage = 256
	maxPage   = 16 << 10
)

// Letters goes through the letters that f chooses, newest first, without their bodies. It walks
// backwards in ranges of the stream that double, so that the first page costs the same whatever
// the stream holds. An edited letter is as new as its edit.
func (s *Store) Letters(ctx context.Context, f Filter) iter.Seq2[DeadLetter, error] {
	if len(f.IDs) > 0 {
		return s.named(ctx, f)
	}
	return func(yield func(DeadLetter, error) bool) {
		first, last, err := s.entries(ctx)
		if f.Before > 0 {
			last = min(last, f.Before-1)
		}
		for size := uint64(firstPage); err == nil && last >= first && last > 0; size = min(2*size, maxPage) {
			from := max(first, last-min(size, last)+1)
			var page []DeadLetter
			if page, err = s.page(ctx, f, from, last, 0); err != nil {
				break
			}
			for _, l := range slices.Backward(page) {
				// What was stored before then cannot have failed after it.
				if l.Stored.Before(f.Since) {
					return
				}
				if f.takes(&l) && !yield(l, nil) {
					return
				}
			}
			last = from - 1
		}
		if err != nil {
			yield(DeadLetter{}, err)
		}
	}
}

// LettersOldest goes through the letters that are there now and that f chooses, oldest first, without
// their bodies.
func (s *Store) LettersOldest(ctx context.Context, f Filter) iter.Seq2[DeadLetter, error] {
	if len(f.IDs) > 0 {
		return s.named(ctx, f)
	}
	return func(yield func(DeadLetter, error) bool) {
		from, last, err := s.entries(ctx)
		for err == nil && from <= last {
			var page []DeadLetter
			if page, err = s.page(ctx, f, from, last, producer.MaxAtomic); err != nil {
				break
			}
			for _, l := range page {
				if f.takes(&l) && !yield(l, nil) {
					return
				}
			}
			if len(page) < producer.MaxAtomic {
				return
			}
			from = page[len(page)-1].Entry + 1
		}
		if err != nil {
			yield(DeadLetter{}, err)
		}
	}
}

// entries are the first and the last sequence of DEAD.
func (s *Store) entries(ctx context.Context) (first, last uint64, err error) {
	info, err := s.dead.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("look up stream %s: %w", DeadStream, err)
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// page reads the entries of a range that match f's subject, at most so many, 0 for all.
func (s *Store) page(ctx context.Context, f Filter, from, to uint64, most int) ([]DeadLetter, error) {
	var page []DeadLetter
	for m, err := range scanFrom(ctx, s.dead, f.subject(), from, true) {
		if err != nil {
			return nil, err
		}
		l, err := letterOf(m)
		if err != nil || l.Entry > to {
			return page, err
		}
		if page = append(page, l); len(page) == most {
			break
		}
	}
	return page, nil
}

func letterOf(m jetstream.Msg) (DeadLetter, error) {
	meta, err := m.Metadata()
	if err != nil {
		return DeadLetter{}, fmt.Errorf("read dead letter: %w", err)
	}
	return readLetter(m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp)
}

// named looks for the letters by their ids.
func (s *Store) named(ctx context.Context, f Filter) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for _, id := range f.IDs {
			batch, key, err := SplitID(id)
			var l DeadLetter
			if err == nil {
				l, err = s.DeadLetter(ctx, batch, "", key)
			}
			if err != nil {
				yield(l, err)
				return
			}
			if f.takes(&l) && !yield(l, nil) {
				return
			}
		}
	}
}

// Follow goes through the letters that come from now on, until ctx ends. An edit or a discard
// makes no new letter.
func (s *Store) Follow(ctx context.Context, f Filter) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		cons, err := s.dead.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{f.subject()}, DeliverPolicy: jetstream.DeliverNewPolicy, HeadersOnly: true,
		})
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("follow %s: %w", f.subject(), err))
			return
		}
		it, err := cons.Messages(jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("follow %s: %w", f.subject(), err))
			return
		}
		defer it.Stop()
		for {
			m, err := it.Next(jetstream.NextContext(ctx))
			if ctx.Err() != nil {
				return
			}
			var l DeadLetter
			if err == nil {
				l, err = letterOf(m)
			}
			if (err != nil || l.Edits == 0 && f.takes(&l)) && (!yield(l, err) || err != nil) {
				return
			}
		}
	}
}
