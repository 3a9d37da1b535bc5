package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// classDiscarded stands in the subject of a letter that was given up, in the place of its class,
// so that they can be counted for each batch.
const classDiscarded policy.Class = "discarded"

// headerOriginal is how many bytes of an edited entry are the job as it was published; the rest
// is what replaces it. Both are in one message, so that an edit is one write and nothing is ever
// there without the other.
const headerOriginal = "Nightshift-Original"

// headerSize is the server's, on a message of which it sends only the headers.
const headerSize = "Nats-Msg-Size"

// Past is one earlier life of a job: how it ended before it was replayed.
type Past struct {
	Class      policy.Class `json:"class"`
	Queue      string       `json:"queue"`
	Model      string       `json:"model,omitempty"`
	Status     int          `json:"status,omitempty"`
	Code       string       `json:"code,omitempty"`
	RequestID  string       `json:"request_id,omitempty"`
	Attempts   int          `json:"attempts,omitempty"`
	Waits      int          `json:"waits,omitempty"`
	Deliveries uint64       `json:"deliveries"`
	Edits      int          `json:"edits,omitempty"`
	First      time.Time    `json:"first"`
	Last       time.Time    `json:"last"`
}

// maxPast bounds the earlier lives that are kept, since they travel in a header.
const maxPast = 10

// replayed is what a replayed job says of itself in HeaderReplay.
type replayed struct {
	Replays int    `json:"replays"`
	Of      uint64 `json:"of"`
	Calls   int    `json:"calls,omitempty"` // of all lives
	Past    []Past `json:"past"`
}

// next is what a replay of the letter says.
func (l *DeadLetter) next() replayed {
	past := append(slices.Clone(l.Past), Past{
		Class: l.Class, Queue: l.Queue, Model: l.Model, Status: l.Status, Code: l.Code, RequestID: l.RequestID,
		Attempts: len(l.Attempts), Waits: l.Waits, Deliveries: l.Deliveries, Edits: l.Edits, First: l.First, Last: l.Last,
	})
	return replayed{Replays: l.Replays + 1, Of: l.Entry, Calls: l.Calls, Past: past[max(len(past)-maxPast, 0):]}
}

// earlier reads what a job says of its earlier lives; the zero value if it had none.
func earlier(h nats.Header) (r replayed) {
	if text := h.Get(producer.HeaderReplay); text != "" && json.Unmarshal([]byte(text), &r) != nil {
		return replayed{} // somebody else wrote it
	}
	return r
}

// keepHeaders keeps what a replay has to restore; what the broker or a replay added is no part
// of the job.
func (l *DeadLetter) keepHeaders(h nats.Header) {
	r := earlier(h)
	l.Replays, l.ReplayOf, l.Past, l.Calls = r.Replays, r.Of, r.Past, r.Calls
	for name, values := range h {
		switch {
		case strings.HasPrefix(name, "Nats-"), name == producer.HeaderLook,
			name == producer.HeaderReplay, name == producer.HeaderKey:
			continue
		case l.Headers == nil:
			l.Headers = nats.Header{}
		}
		l.Headers[name] = values
	}
}

// ID is the letter's name: BATCH/JOB.
func (l *DeadLetter) ID() string { return l.Batch + "/" + l.Key }

// Request is the message that a replay sends: the job's, or what it was edited to.
func (l *DeadLetter) Request() []byte {
	if l.Edited != nil {
		return l.Edited
	}
	return l.Body
}

// withModel names another model in a batch line or a bare request body; what is neither stays.
func withModel(data []byte, model string) []byte {
	patch := objectWith([]member{{"model", appendString(nil, model)}})
	members, err := objectOf(data)
	if err != nil {
		return data
	}
	if slices.ContainsFunc(members, func(m member) bool { return m.name == "body" }) {
		patch = objectWith([]member{{"body", patch}})
	}
	return merge(data, patch)
}

// modelOf is the model that a request names, "" without one.
func modelOf(body jsontext.Value) string {
	members, err := objectOf(body)
	if err != nil {
		return ""
	}
	for _, m := range members {
		if m.name != "model" || m.value.Kind() != jsontext.KindString {
			continue
		}
		if text, err := jsontext.AppendUnquote(nil, m.value); err == nil {
			return string(text)
		}
	}
	return ""
}

// DeadLetter reads one; class may be empty where it is not known. One that was discarded is found
// under any class. ErrNoEnding when there is none.
func (s *Store) DeadLetter(ctx context.Context, batch string, class policy.Class, key string) (DeadLetter, error) {
	classes := []policy.Class{class, classDiscarded}
	if class == "" {
		classes = []policy.Class{"*"}
	}
	for _, c := range classes {
		m, err := s.dead.GetLastMsgForSubject(ctx, deadSubject(batch, c, key))
		switch {
		case err == nil:
			return readLetter(m.Header, m.Data, m.Sequence, m.Time)
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return DeadLetter{}, fmt.Errorf("read dead letter %s: %w", key, err)
		}
	}
	return DeadLetter{}, fmt.Errorf("dead letter %s: %w", key, ErrNoEnding)
}

// hasDead says whether the entry in DEAD that belongs to a marker is there.
func (s *Store) hasDead(ctx context.Context, batch string, marker Ending) (bool, error) {
	_, err := s.DeadLetter(ctx, batch, marker.Meta.Class, marker.Key)
	if errors.Is(err, ErrNoEnding) {
		return false, nil
	}
	return err == nil, err
}

// readLetter decodes an entry; data is nil where only its headers were read.
func readLetter(h nats.Header, data []byte, entry uint64, stored time.Time) (DeadLetter, error) {
	var l DeadLetter
	if err := json.Unmarshal([]byte(h.Get(headerDead)), &l); err != nil {
		return DeadLetter{}, fmt.Errorf("decode dead letter %d: %w", entry, err)
	}
	l.Entry, l.Stored, l.Body, l.Size = entry, stored.UTC(), data, len(data)
	if size, err := strconv.Atoi(h.Get(headerSize)); err == nil {
		l.Size = size // where only the headers were read
	}
	n, err := strconv.Atoi(h.Get(headerOriginal))
	if err == nil && 0 <= n && n <= len(data) {
		l.Body, l.Edited = data[:n:n], data[n:]
	}
	return l, nil
}

// entry makes the message that replaces the letter's own, unless that is another by now.
func (l *DeadLetter) entry(subject string, expect uint64) (*nats.Msg, error) {
	kept := *l
	kept.Entry = 0
	text, err := json.Marshal(&kept)
	if err != nil {
		return nil, fmt.Errorf("encode dead letter %s: %w", l.Key, err)
	}
	m := &nats.Msg{Subject: subject, Header: nats.Header{headerDead: {string(text)}}, Data: l.Body}
	if l.Edited != nil {
		m.Header.Set(headerOriginal, strconv.Itoa(len(l.Body)))
		m.Data = slices.Concat(l.Body, l.Edited)
	}
	if expect > 0 {
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expect, 10))
	}
	return m, nil
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
