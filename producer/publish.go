package producer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Producer publishes jobs. It is safe for concurrent use.
type Producer struct {
	js      jetstream.JetStream
	batches jetstream.KeyValue
}

// New returns a Producer and makes the JOBS stream and the bucket of manifests where they
// are missing. The error is an ErrNewer where a newer program made them.
func New(ctx context.Context, js jetstream.JetStream, c Config) (*Producer, error) {
	if err := createJobs(ctx, js, c); err != nil {
		return nil, err
	}
	batches, err := createBucket(ctx, js, c)
	if err != nil {
		return nil, err
	}
	return &Producer{js: js, batches: batches}, nil
}

// Publish puts one job on a queue and returns when the broker has stored it. id makes a
// repeated publish within two minutes harmless; it may be empty. body is an OpenAI batch
// line or a bare request body.
func (p *Producer) Publish(ctx context.Context, queue, id string, body []byte) error {
	m := nats.NewMsg(Subject(queue, ""))
	m.Data = body
	if id != "" {
		m.Header.Set(nats.MsgIdHdr, id)
	}
	if _, err := p.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	return nil
}

// Submission says how a file becomes a batch.
type Submission struct {
	Queue string
	// Batch is the id, from BatchID or chosen by the user.
	Batch string
	// SkipInvalid submits invalid lines too, to be dead-lettered as malformed. Without it
	// they are left out, so refuse the file first when the report counts any.
	SkipInvalid bool
	Limits      Limits
	// Deadline is written on each job; zero for none. A submission that goes on keeps the one
	// it began with.
	Deadline time.Time
	// Ended tells whether a job of the batch already has an ending. It is asked once when
	// an interrupted submission goes on, and may be nil where nobody has worked yet.
	Ended func(ctx context.Context, batch, key string) (bool, error)
	// Progress is called after each stored chunk with the manifest as it is now; full is
	// true while the queue has no room and submitting waits for workers to make some.
	Progress func(b Batch, full bool)
}

// Submit publishes the jobs of a validated source in atomic batches and moves the mark of
// the manifest after each. Interrupted at any moment it can be called again: it goes on from
// the mark, and finds out by itself whether the chunk after the mark was stored.
func (p *Producer) Submit(ctx context.Context, src *Source, r Report, s Submission) (Batch, error) {
	b, err := p.claim(ctx, src, r, s)
	if err != nil || b.Done() {
		return b, err
	}
	// It goes on as it began: the mark counts the jobs of that choice on that queue.
	s.Queue, s.SkipInvalid, s.Deadline = b.Queue, b.Invalid > 0, b.Deadline
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks := make(chan chunk, 1)
	read := make(chan error, 1)
	go func() {
		defer close(chunks)
		read <- s.readChunks(ctx, src, r, b.Published, chunks)
	}()
	err = p.publishChunks(ctx, &b, s, chunks)
	if errors.Is(err, ErrTaken) {
		err = p.whyTaken(ctx, b, err)
	}
	cancel()
	for range chunks { // let the reader go
	}
	if rerr := <-read; rerr != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = rerr
	}
	if err == nil && !b.Done() {
		err = fmt.Errorf("submit %s: the file changed while it was read: %d of %d jobs",
			b.ID, b.Published, b.Total)
	}
	return b, err
}

// claim makes the manifest, or takes over the one an interrupted submission left.
func (p *Producer) claim(ctx context.Context, src *Source, r Report, s Submission) (Batch, error) {
	b, err := p.Batch(ctx, s.Batch)
	switch {
	case errors.Is(err, ErrNoBatch):
		b = Batch{ID: s.Batch, Queue: s.Queue, File: src.Name(), Total: r.Jobs, Created: time.Now().UTC(), Deadline: s.Deadline, Digest: hex.EncodeToString(r.Digest[:])}
		if s.SkipInvalid {
			b.Total, b.Invalid = r.Jobs+r.Invalid, r.Invalid
		}
		err = p.save(ctx, &b)
	case err == nil && b.Stopped():
		err = fmt.Errorf("batch %s: %w", b.ID, ErrCancelled)
	case err == nil && !b.Done():
		// Writing it moves the revision, which stops a submitter that is still at it.
		err = p.save(ctx, &b)
	}
	return b, err
}

func (p *Producer) publishChunks(ctx context.Context, b *Batch, s Submission, chunks <-chan chunk) error {
	first := b.Published > 0 || b.revision > 1
	for c := range chunks {
		stored := false
		if b.Again > 0 { // its last job may have ended long ago: that proves nothing
			c.look()
		} else if first {
			var err error
			if stored, err = p.stored(ctx, *b, s, c); err != nil {
				return err
			}
			c.look()
			first = false
		}
		if !stored {
			if err := p.publishChunk(ctx, *b, s, c.msgs); err != nil {
				return err
			}
		}
		if err := p.mark(ctx, b, len(c.msgs)); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(*b, false)
		}
	}
	return ctx.Err()
}

func (p *Producer) mark(ctx context.Context, b *Batch, n int) error {
	b.Published += n
	if b.Done() {
		b.Submitted = time.Now().UTC()
	}
	return p.save(ctx, b)
}

// stored tells whether the chunk after the mark reached the queue before the interruption.
// Its last job is then still the last message of the batch's subject, or has an ending: a job
// leaves the queue only after it has one, so asking in this order cannot miss it.
func (p *Producer) stored(ctx context.Context, b Batch, s Submission, c chunk) (bool, error) {
	jobs, err := p.js.Stream(ctx, Stream)
	if err != nil {
		return false, fmt.Errorf("look up stream %s: %w", Stream, err)
	}
	last, err := jobs.GetLastMsgForSubject(ctx, Subject(b.Queue, b.ID))
	switch {
	case err == nil:
		line, aerr := strconv.Atoi(last.Header.Get(HeaderLine))
		if aerr == nil && line >= c.lastLine {
			return true, nil
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return false, fmt.Errorf("look for the last job of %s: %w", b.ID, err)
	}
	if s.Ended == nil {
		return false, nil
	}
	return s.Ended(ctx, b.ID, c.lastKey)
}

// fullWait is how long submitting waits before it asks a full queue again.
const fullWait = time.Second

func (p *Producer) publishChunk(ctx context.Context, b Batch, s Submission, msgs []*nats.Msg) error {
	for {
		err := p.publishOnce(ctx, msgs)
		if !isFull(err) {
			return wrap(err, "submit "+b.ID)
		}
		if s.Progress != nil {
			s.Progress(b, true)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fullWait):
		}
	}
}

// ackWait bounds the wait for the broker's word on a chunk: a connection that broke meanwhile
// will never bring it.
const ackWait = 30 * time.Second

func (p *Producer) publishOnce(ctx context.Context, msgs []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	return PublishAtomic(ctx, p.js.Conn(), msgs)
}
