package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// headerDead holds a DeadLetter as JSON; the message's body is the job's, byte for byte.
const headerDead = "Nightshift-Dead"

// maxLetter bounds the header: a job as long as the broker takes must still fit beside it.
const maxLetter = 32 << 10

// DeadLetter is a job that will not be tried again, with its history.
type DeadLetter struct {
	Key      string       `json:"key"`
	CustomID string       `json:"custom_id,omitempty"`
	Queue    string       `json:"queue"`
	Batch    string       `json:"batch"`
	Class    policy.Class `json:"class"`
	// Owner is who can mend it, Remedy what they must do.
	Owner  string `json:"owner"`
	Remedy string `json:"remedy"`
	// Status, Code, Type, RequestID and Message are the provider's last words. Message may
	// repeat the prompt.
	Status    int    `json:"status,omitempty"`
	Code      string `json:"code,omitempty"`
	Type      string `json:"type,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	Message   string `json:"message,omitempty"`
	Rule      string `json:"rule,omitempty"`
	// Attempts are the calls that failed, Waits the hand-backs for capacity, Deliveries all
	// hand-overs by the broker.
	Attempts   []policy.Attempt `json:"attempts,omitempty"`
	Waits      int              `json:"waits,omitempty"`
	LastWait   *policy.Attempt  `json:"last_wait,omitempty"`
	Deliveries uint64           `json:"deliveries"`
	// InputTokens and OutputTokens were used by answers that were not kept.
	InputTokens  int `json:"input_tokens,omitempty"`
	OutputTokens int `json:"output_tokens,omitempty"`
	Crashes      int `json:"crashes,omitempty"`
	// Calls counts all calls of the job, those before replays among them.
	Calls     int       `json:"calls,omitempty"`
	Line      int       `json:"line,omitempty"`
	Worker    string    `json:"worker"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Published time.Time `json:"published"`
	Trace     string    `json:"traceparent,omitempty"`
	// Model is the one the request names, Headers are the job's own and Job is its sequence
	// in JOBS.
	Model   string      `json:"model,omitempty"`
	Headers nats.Header `json:"headers,omitempty"`
	Job     uint64      `json:"job,omitempty"`
	// Replays counts how often it was replayed before, Past tells the latest of those lives,
	// and ReplayOf is the Entry that this life began with.
	Replays  int    `json:"replays,omitempty"`
	ReplayOf uint64 `json:"replay_of,omitempty"`
	Past     []Past `json:"past,omitempty"`
	// Edits counts the changes made to the request since it died; Edited is what they came to.
	Edits int `json:"edits,omitempty"`
	// Discarded is when it was given up, for the Reason.
	Discarded time.Time `json:"discarded,omitzero"`
	Reason    string    `json:"reason,omitempty"`

	// Entry is the sequence of the entry in DEAD and Stored when it was written; both are known
	// of an entry that was read.
	Entry  uint64    `json:"entry,omitempty"`
	Stored time.Time `json:"-"`
	// Size is that of the entry without its headers, in bytes.
	Size int `json:"-"`
	// Body is the job's message as it was published, Edited what a replay sends instead, nil
	// where nobody edited it. Both are nil where only the headers were read.
	Body   []byte `json:"-"`
	Edited []byte `json:"-"`
}

func deadConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: DeadStream,
		// No limit of age or count: a dead letter is never trimmed in silence.
		Description:        "dead letters",
		Subjects:           []string{"dead.>"},
		MaxMsgsPerSubject:  1,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Replicas:           replicas,
	}
}

func deadSubject(batch string, class policy.Class, key string) string {
	return "dead." + batch + "." + string(class) + "." + key
}

// bury makes the job a dead letter: first the ending, then the entry, then the broker is told.
func (c *Consumer) bury(
	ctx context.Context, d *delivery, f *policy.Fault, r *policy.Result, dec policy.Decision,
) (outcome, error) {
	d.keep(nil)
	letter := c.letter(d, f, r, dec)
	meta := c.meta(d, r)
	meta.Class = letter.Class
	meta.Status, meta.Code = f.Status, f.Code
	marker, err := newEnding(d.job.Batch, d.job.Key, endingDead, meta, nil)
	if err != nil {
		return dead, err
	}
	other, err := c.putEnding(ctx, d, marker)
	ctx, cancel := context.WithTimeout(ctx, c.c.AckWait)
	defer cancel()
	switch {
	case errors.Is(err, errEnded):
		return ended, c.concede(ctx, d, other, letter)
	case err != nil:
		return dead, err
	}
	c.stats.died(letter.Class)
	return dead, c.entomb(ctx, d, letter)
}

// entomb writes the entry of a dead letter whose marker stands.
func (c *Consumer) entomb(ctx context.Context, d *delivery, l *DeadLetter) error {
	entry, err := l.message(d.msg)
	if err != nil {
		return err
	}
	if err := c.dead.put(ctx, entry); err != nil {
		return err
	}
	c.forget(ctx, d)
	c.leases.drop(d.lease)
	return c.leases.message(d.lease).TermWithReason(string(l.Class))
}

// concede leaves the job to the ending that was first. A dead one may lack its entry, which l
// is then, under the marker's class: there it is looked for.
func (c *Consumer) concede(ctx context.Context, d *delivery, other Ending, l *DeadLetter) error {
	if other.Dead {
		there, err := c.store.hasDead(ctx, d.job.Batch, other)
		if err != nil {
			return err
		}
		if !there {
			l.Class = other.Meta.Class
			l.Owner, l.Remedy = l.Class.Owner(), l.Class.Remedy()
			return c.entomb(ctx, d, l)
		}
	}
	c.forget(ctx, d)
	return c.ack(ctx, d)
}

// letter writes down why the job is dead.
func (c *Consumer) letter(d *delivery, f *policy.Fault, r *policy.Result, dec policy.Decision) *DeadLetter {
	class := f.Class
	if dec.Class != "" {
		class = dec.Class
	}
	l := &DeadLetter{
		Key: d.job.Key, CustomID: d.job.ID, Queue: d.queue.Name, Batch: d.job.Batch,
		Class: class, Owner: class.Owner(), Remedy: class.Remedy(),
		Status: f.Status, Code: f.Code, Type: f.Type, RequestID: f.RequestID, Message: f.Message, Rule: f.Rule,
		Deliveries: d.meta.NumDelivered, Crashes: d.crashes, Worker: c.c.Worker,
		Last: time.Now().UTC(), Published: d.meta.Timestamp.UTC(), Trace: d.job.Traceparent,
		Model: modelOf(d.job.Body), Job: d.meta.Sequence.Stream,
	}
	l.keepHeaders(d.msg.Headers())
	h := d.history
	if r != nil {
		h.Add(*r, dec, d.received)
	}
	l.Attempts, l.Waits, l.LastWait = h.Attempts, h.Waits, h.LastWait
	l.Calls += h.Calls
	l.InputTokens, l.OutputTokens = tokensOf(h.Attempts)
	l.First = l.Last
	if len(l.Attempts) > 0 {
		l.First = l.Attempts[0].At
	}
	return l
}

// message makes the entry; it keeps the job's own bytes and says where they came from.
func (l *DeadLetter) message(job jetstream.Msg) (*nats.Msg, error) {
	if line := job.Headers().Get(producer.HeaderLine); line != "" {
		l.Line, _ = strconv.Atoi(line) // ours; 0 where somebody else wrote it
	}
	text, err := json.Marshal(l)
	for err == nil && len(text) > maxLetter && len(l.Attempts) > 1 {
		l.Attempts = l.Attempts[:len(l.Attempts)/2] // the first ones tell how it began
		text, err = json.Marshal(l)
	}
	if err != nil {
		return nil, fmt.Errorf("encode dead letter %s: %w", l.Key, err)
	}
	return &nats.Msg{
		Subject: deadSubject(l.Batch, l.Class, l.Key), Data: job.Data(),
		Header: nats.Header{headerDead: {string(text)}},
	}, nil
}
