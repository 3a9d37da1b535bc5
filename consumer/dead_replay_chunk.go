package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// fresh reads the chunk that was just written down, a moment after its headers were.
func (c *claim) fresh(ctx context.Context, chunk []DeadLetter) (lines []journalLine, letters []DeadLetter, err error) {
	entries, err := getLast(ctx, c.s.js.Conn(), DeadStream, subjectsOf(chunk, (*DeadLetter).subject))
	if err != nil {
		return nil, nil, fmt.Errorf("read dead letters: %w", err)
	}
	byEntry := make(map[uint64]gotMsg, len(entries))
	for _, m := range entries {
		byEntry[m.sequence] = m
	}
	for _, line := range c.chunk.Letters {
		m, ok := byEntry[line.Entry]
		if !ok {
			continue
		}
		l, err := readLetter(m.header, m.data, m.sequence, m.at)
		if err != nil {
			return nil, nil, err
		}
		lines, letters = append(lines, line), append(letters, l)
	}
	return lines, letters, nil
}

// letters reads the chunk's entries that are still there, with their lines of the journal.
func (c *claim) letters(ctx context.Context) (lines []journalLine, letters []DeadLetter, err error) {
	all := make([]*DeadLetter, len(c.chunk.Letters))
	err = beside(ctx, len(all), func(ctx context.Context, i int) error {
		m, err := c.s.dead.GetMsg(ctx, c.chunk.Letters[i].Entry)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letter %d: %w", c.chunk.Letters[i].Entry, err)
		}
		l, err := readLetter(m.Header, m.Data, m.Sequence, m.Time)
		all[i] = &l
		return err
	})
	for i, l := range all {
		if l != nil {
			lines, letters = append(lines, c.chunk.Letters[i]), append(letters, *l)
		}
	}
	return lines, letters, err
}

// resumeTries bounds how often a resumed chunk may meet another process at the same one.
const resumeTries = 3

// resume does the rest of the chunk, whatever of it was done.
func (c *claim) resume(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, chunkWait)
	defer cancel()
	if c.chunk.Discard != nil {
		_, letters, err := c.letters(ctx)
		if err != nil {
			return err
		}
		return c.discard(ctx, letters)
	}
	for range resumeTries {
		lines, letters, err := c.letters(ctx)
		if err != nil || len(lines) == 0 {
			return err
		}
		queued, err := c.queued(ctx, letters)
		if err != nil {
			return err
		}
		if queued {
			return c.removeEntries(ctx, letters)
		}
		if lines, letters, err = c.open(ctx, lines, letters); err != nil || len(lines) == 0 {
			return err
		}
		if again, err := c.publish(ctx, lines, letters); !again {
			return err
		}
	}
	return ErrBusy
}

// queued says whether a copy of one of the letters is on the queue.
func (c *claim) queued(ctx context.Context, letters []DeadLetter) (bool, error) {
	jobs, err := c.s.js.Stream(ctx, producer.Stream)
	if err != nil {
		return false, fmt.Errorf("open stream %s: %w", producer.Stream, err)
	}
	ids, subjects := map[string]bool{}, map[string]bool{}
	for _, l := range letters {
		ids[l.copyID()] = true
		subjects[c.chunk.subject(&l)] = true
	}
	for subject := range subjects {
		for seq := c.chunk.After + 1; ; seq++ {
			m, err := jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				return false, fmt.Errorf("look for copies on %s: %w", subject, err)
			}
			if ids[m.Header.Get(nats.MsgIdHdr)] {
				return true, nil
			}
			seq = m.Sequence
		}
	}
	return false, nil
}

// open removes the entries of the jobs that have another ending than their marker, and returns the
// others.
func (c *claim) open(ctx context.Context, lines []journalLine, letters []DeadLetter) (
	left []journalLine, open []DeadLetter, err error,
) {
	ended := make([]bool, len(lines))
	err = beside(ctx, len(lines), func(ctx context.Context, i int) error {
		l := &letters[i]
		m, err := c.s.results.GetLastMsgForSubject(ctx, resultSubject(l.Batch, l.Key))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for the ending of %s: %w", l.Key, err)
		}
		if ended[i] = m.Sequence != lines[i].Marker; !ended[i] {
			return nil
		}
		return removeAll(ctx, c.s.dead, []uint64{l.Entry})
	})
	for i, line := range lines {
		if !ended[i] {
			left, open = append(left, line), append(open, letters[i])
		}
	}
	return left, open, err
}

// publish takes the steps after the journal. again says that some of the copies have been
// published, by another process: nothing was.
func (c *claim) publish(ctx context.Context, lines []journalLine, letters []DeadLetter) (again bool, err error) {
	if len(lines) == 0 {
		return false, nil
	}
	copies := make([]*nats.Msg, len(letters))
	for i := range letters {
		if copies[i], err = c.chunk.copyOf(&letters[i]); err != nil {
			return false, err
		}
	}
	markers := map[string][]uint64{}
	for i, line := range lines {
		if line.Marker > 0 {
			filter := resultSubject(letters[i].Batch, "*")
			markers[filter] = append(markers[filter], line.Marker)
		}
	}
	if err := removeByFilter(ctx, c.s.results, markers); err != nil {
		return false, err
	}
	if err := c.s.publishWhenRoom(ctx, copies); err != nil {
		return hasCode(err, errCodeDuplicateID), fmt.Errorf("publish replayed jobs: %w", err)
	}
	return false, c.removeEntries(ctx, letters)
}

// publishWhenRoom waits while the queue is full: workers make room.
func (s *Store) publishWhenRoom(ctx context.Context, copies []*nats.Msg) error {
	for {
		err := producer.PublishAtomic(ctx, s.js.Conn(), copies)
		if !hasCode(err, errCodeFull) || !sleep(ctx, time.Second) {
			return err
		}
	}
}

func (j *journal) subject(l *DeadLetter) string {
	if j.Queue != "" {
		return producer.Subject(j.Queue, l.Batch)
	}
	return producer.Subject(l.Queue, l.Batch)
}

// copyID is the Msg-Id of the letter's copy; no two letters share one, not even of the same job.
func (l *DeadLetter) copyID() string { return "replay-" + strconv.FormatUint(l.Entry, 10) }

// copyOf makes the message that goes back to the queue: the job as it was, or as it was edited,
// with its own headers. A deadline that has passed is dropped, lest the copy expire at once.
func (j *journal) copyOf(l *DeadLetter) (*nats.Msg, error) {
	m := &nats.Msg{Subject: j.subject(l), Header: nats.Header{}, Data: l.Body}
	for name, values := range l.Headers {
		m.Header[name] = slices.Clone(values)
	}
	if l.Edited != nil {
		m.Data = l.Edited
		m.Header.Del(producer.HeaderInvalid)
	}
	if j.Model != "" {
		m.Data = withModel(m.Data, j.Model)
	}
	deadline, err := time.Parse(time.RFC3339, m.Header.Get(producer.HeaderDeadline))
	if err == nil && deadline.Before(time.Now()) {
		m.Header.Del(producer.HeaderDeadline)
	}
	past, err := json.Marshal(l.next())
	if err != nil {
		return nil, fmt.Errorf("encode the past of %s: %w", l.Key, err)
	}
	m.Header.Set(nats.MsgIdHdr, l.copyID())
	m.Header.Set(producer.HeaderKey, l.Key)
	m.Header.Set(producer.HeaderLook, "1")
	m.Header.Set(producer.HeaderReplay, string(past))
	return m, nil
}
