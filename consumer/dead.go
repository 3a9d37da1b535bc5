package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	Crashes    int              `json:"crashes,omitempty"`
	Line       int              `json:"line,omitempty"`
	Worker     string           `json:"worker"`
	First      time.Time        `json:"first"`
	Last       time.Time        `json:"last"`
	Published  time.Time        `json:"published"`
	Trace      string           `json:"traceparent,omitempty"`

	// Body is the job's message as it was published.
	Body []byte `json:"-"`
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
	letter := c.letter(d, f, r, dec)
	meta := c.meta(d, r)
	meta.Class = letter.Class
	meta.Status, meta.Code = f.Status, f.Code
	marker, err := newEnding(d.job.Batch, d.job.Key, endingDead, meta, nil)
	if err != nil {
		return dead, err
	}
	switch other, err := c.putEnding(ctx, d, marker); {
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
	}
	h := d.history
	if r != nil {
		h.Add(*r, dec, d.received)
	}
	l.Attempts, l.Waits, l.LastWait = h.Attempts, h.Waits, h.LastWait
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

// hasDead says whether the entry in DEAD that belongs to a marker is there.
func (s *Store) hasDead(ctx context.Context, batch string, marker Ending) (bool, error) {
	_, err := s.DeadLetter(ctx, batch, marker.Meta.Class, marker.Key)
	if errors.Is(err, ErrNoEnding) {
		return false, nil
	}
	return err == nil, err
}

// DeadLetter reads one; class may be empty where it is not known. ErrNoEnding when there is
// none.
func (s *Store) DeadLetter(ctx context.Context, batch string, class policy.Class, key string) (DeadLetter, error) {
	if class == "" {
		class = "*"
	}
	m, err := s.dead.GetLastMsgForSubject(ctx, deadSubject(batch, class, key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return DeadLetter{}, fmt.Errorf("dead letter %s: %w", key, ErrNoEnding)
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("read dead letter %s: %w", key, err)
	}
	return readLetter(m.Header, m.Data)
}

func readLetter(h nats.Header, data []byte) (DeadLetter, error) {
	var l DeadLetter
	if err := json.Unmarshal([]byte(h.Get(headerDead)), &l); err != nil {
		return DeadLetter{}, fmt.Errorf("decode dead letter: %w", err)
	}
	l.Body = data
	return l, nil
}

// ErrorLine is the dead letter as a line of an OpenAI error file, without the newline: the
// provider's status where it gave one, else the class as the error's code.
func (l *DeadLetter) ErrorLine() []byte {
	id := l.CustomID
	if id == "" {
		id = l.Key
	}
	b := append([]byte(nil), `{"id":"batch_req_`...)
	b = append(b, l.Key...)
	b = appendString(append(b, `","custom_id":`...), id)
	if l.Status == 0 {
		b = appendString(append(b, `,"response":null,"error":{"code":`...), string(l.Class))
		b = appendString(append(b, `,"message":`...), l.words())
		return append(b, `}}`...)
	}
	b = append(strconv.AppendInt(append(b, `,"response":{"status_code":`...), int64(l.Status), 10), `,"request_id":`...)
	b = appendString(b, l.RequestID)
	b = appendString(append(b, `,"body":{"error":{"message":`...), l.words())
	b = appendString(append(b, `,"type":`...), l.Type)
	b = appendString(append(b, `,"param":null,"code":`...), l.Code)
	return append(b, `}}},"error":null}`...)
}

func (l *DeadLetter) words() string {
	if l.Message != "" {
		return l.Message
	}
	return strings.ReplaceAll(string(l.Class), "_", " ") + ": " + l.Remedy
}
