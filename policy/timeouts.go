package policy

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"
)

// Timeouts are the time limits of one whole call by its endpoint, the body read included. A
// zero field means GuardConfig.Timeout where that is set, else the default.
type Timeouts struct {
	// Chat is for /v1/chat/completions. Default 60 s.
	Chat time.Duration `yaml:"chat"`
	// Streamed is for a call of any endpoint that asks for a stream, to its last event.
	// Default 120 s, and no less than Chat.
	Streamed time.Duration `yaml:"streamed"`
	// Embeddings is for /v1/embeddings. Default 30 s.
	Embeddings time.Duration `yaml:"embeddings"`
	// Responses is for /v1/responses. Default 60 s.
	Responses time.Duration `yaml:"responses"`
	// Messages is for /v1/messages. Default 60 s.
	Messages time.Duration `yaml:"messages"`
}

// Negative says whether any of them is less than nothing.
func (t Timeouts) Negative() bool {
	return min(t.Chat, t.Streamed, t.Embeddings, t.Responses, t.Messages) < 0
}

func (t Timeouts) withDefaults(all time.Duration) Timeouts {
	setDefault(&t.Chat, cmp.Or(all, time.Minute))
	setDefault(&t.Streamed, cmp.Or(all, max(2*time.Minute, t.Chat)))
	setDefault(&t.Embeddings, cmp.Or(all, 30*time.Second))
	setDefault(&t.Responses, cmp.Or(all, time.Minute))
	setDefault(&t.Messages, cmp.Or(all, time.Minute))
	return t
}

// limit is the time limit of a call that no timeout came before.
func (c GuardConfig) limit(call Call) time.Duration {
	switch {
	case call.Path == "":
		return c.Timeout
	case streamed(call.Body):
		return c.Timeouts.Streamed
	}
	switch call.Path {
	case "/v1/chat/completions":
		return c.Timeouts.Chat
	case "/v1/embeddings":
		return c.Timeouts.Embeddings
	case "/v1/responses":
		return c.Timeouts.Responses
	case "/v1/messages":
		return c.Timeouts.Messages
	}
	return c.Timeout
}

// streamed says whether a request asks for a stream. Few hold the word, so few are parsed.
func streamed(body []byte) bool {
	if !bytes.Contains(body, []byte(`"stream"`)) {
		return false
	}
	d := decoder(body)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		if name.String() == "stream" {
			return d.PeekKind() == 't'
		}
		if d.SkipValue() != nil {
			return false
		}
	}
	return false
}

// grown is the limit of a call after so many timeouts in a row: half as long again after each,
// up to three times. What is slow must end some day, and what is stuck must not hold a slot for
// ever.
func grown(limit time.Duration, timeouts int) time.Duration {
	d := limit
	for range min(timeouts, 3) {
		d += d / 2
	}
	return min(d, 3*limit)
}

// latencies are how long the latest answers took.
type latencies struct {
	mu   sync.Mutex
	ring [64]time.Duration
	n    int
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%len(l.ring)] = d
	l.n++
}

// quickCall is how long a call takes at a provider that nothing is known of.
const quickCall = time.Second

// median is what half of the latest calls took no longer than.
func (l *latencies) median() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return quickCall
	}
	sorted := l.ring // a copy
	some := sorted[:min(l.n, len(sorted))]
	slices.Sort(some)
	return some[(len(some)-1)/2]
}

// TooLate says whether a call that began now would likely end after a job's deadline: the
// median of the latest calls takes longer, or a second where there were none. A zero deadline
// is none.
func (g *Guard) TooLate(deadline time.Time) bool {
	return !deadline.IsZero() && time.Until(deadline) < g.latest.median()
}
