package producer

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// A chunk is bounded in bytes as well as in messages, so that 1,000 long prompts do not
// fill the connection's buffers.
const maxChunkBytes = 8 << 20

// chunk is the part of a batch that is stored at once.
type chunk struct {
	msgs     []*nats.Msg
	keys     []string // of the jobs in msgs
	bytes    int
	lastLine int
	lastKey  string
}

func (c *chunk) full() bool { return len(c.msgs) == MaxAtomic || c.bytes >= maxChunkBytes }

// look makes the consumer look for an ending before it calls: two submitters at once may
// have stored this chunk twice.
func (c *chunk) look() {
	for _, m := range c.msgs {
		m.Header.Set(HeaderLook, "1")
	}
}

// readChunks sends the entries of the source after the first skip, in chunks.
func (s Submission) readChunks(ctx context.Context, src *Source, r Report, skip int, out chan<- chunk) error {
	subject, deadline := Subject(s.Queue, s.Batch), deadlineText(s.Deadline)
	var c chunk
	for entry, err := range src.Entries(ctx, r, s.Limits) {
		if err != nil {
			return err
		}
		if entry.Err != nil && !s.SkipInvalid {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		c.add(subject, entry, deadline)
		if c.full() && !send(ctx, out, &c) {
			return ctx.Err()
		}
	}
	if len(c.msgs) > 0 && !send(ctx, out, &c) {
		return ctx.Err()
	}
	return nil
}

// deadlineText is the header's value; "" for no deadline.
func deadlineText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (c *chunk) add(subject string, e Entry, deadline string) {
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: append([]byte(nil), e.Data...)}
	c.lastLine, c.lastKey = e.Line, e.Job.Key
	m.Header.Set(HeaderLine, strconv.Itoa(e.Line))
	if deadline != "" {
		m.Header.Set(HeaderDeadline, deadline)
	}
	if e.Err != nil {
		c.lastKey = lineKey(e.Line)
		m.Header.Set(HeaderInvalid, e.Err.Reason)
	}
	c.msgs, c.keys = append(c.msgs, m), append(c.keys, c.lastKey)
	c.bytes += len(m.Data)
}

func send(ctx context.Context, out chan<- chunk, c *chunk) bool {
	full := *c
	*c = chunk{}
	select {
	case out <- full:
		return true
	case <-ctx.Done():
		return false
	}
}
