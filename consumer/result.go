package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

// The headers of an ending in RESULTS.
const (
	headerEnding = "Nightshift-Ending" // answer or dead
	headerMeta   = "Nightshift-Meta"   // a Meta as JSON
	endingAnswer = "answer"
	endingDead   = "dead"
)

// Meta is what is known of an ended job beside its answer.
type Meta struct {
	// Call names the delivery that wrote the ending; no two are alike.
	Call     string `json:"call"`
	Queue    string `json:"queue,omitempty"`
	Provider string `json:"provider,omitempty"`
	Model    string `json:"model,omitempty"`
	// Fallback says that Provider is not the queue's own, or asked for another model.
	Fallback bool   `json:"fallback,omitempty"`
	Worker   string `json:"worker,omitempty"`
	// Line is the line of the file the job came from, from 1; 0 where it came from none.
	Line int `json:"line,omitempty"`
	// Class says why a dead job is dead.
	Class policy.Class `json:"class,omitempty"`
	// Status and Code are the provider's last words to a dead job.
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// Calls counts all calls of the job, Again those among them that may repeat one whose
	// worker died; Waits the hand-backs for capacity.
	Calls int `json:"calls,omitempty"`
	Again int `json:"again,omitempty"`
	Waits int `json:"waits,omitempty"`
	// LatencyMS is the time of the answering call in milliseconds.
	LatencyMS    int64  `json:"latency_ms,omitempty"`
	InputTokens  int    `json:"input_tokens,omitempty"`
	OutputTokens int    `json:"output_tokens,omitempty"`
	FinishReason string `json:"finish_reason,omitempty"`
	// Cost is what the answer cost, in billionths of a US dollar; nil where the model has no price
	// or the answer does not say what it used. Wasted is what the calls before it cost that gave no
	// answer, in the delivery that ended the job; at most, where they did not say.
	Cost   *policy.Money `json:"cost_nano_usd,omitempty"`
	Wasted policy.Money  `json:"wasted_nano_usd,omitempty"`
	// Truncated says that the answer was cut short or withheld: FinishReason tells which.
	Truncated bool `json:"truncated,omitempty"`
	// Dropped is how many of a chat's oldest messages were left out for it to fit, Raised how
	// often the limit of the answer was raised.
	Dropped int `json:"dropped_messages,omitempty"`
	Raised  int `json:"raised,omitempty"`
	// LostInputTokens and LostOutputTokens were used by answers that were not kept.
	LostInputTokens  int `json:"lost_input_tokens,omitempty"`
	LostOutputTokens int `json:"lost_output_tokens,omitempty"`
}

// Ending is how a job ended: Line is its answer as an OpenAI output line without the newline,
// empty for a dead job.
type Ending struct {
	Key  string
	Dead bool
	Meta Meta
	Line []byte
	// Sequence is where it stands in RESULTS, as far as it was read in that order.
	Sequence uint64
}

// ErrNoEnding says that a job has not ended.
var ErrNoEnding = errors.New("no ending")

func resultsConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               ResultsStream,
		Description:        "endings: answers, and markers of the dead",
		Subjects:           []string{"results.>"},
		MaxMsgsPerSubject:  1,
		MaxAge:             resultAge,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Replicas:           replicas,
	}
}

func resultSubject(batch, key string) string { return "results." + batch + "." + key }

// newEnding makes the message that ends a job. The server stores it only if the job has no
// ending yet: the first writer wins.
func newEnding(batch, key, kind string, meta *Meta, line []byte) (*nats.Msg, error) {
	m := &nats.Msg{Subject: resultSubject(batch, key), Data: line}
	text, err := json.Marshal(meta)
	if err != nil {
		return nil, fmt.Errorf("encode meta of %s: %w", key, err)
	}
	m.Header = nats.Header{
		headerEnding:                        {kind},
		headerMeta:                          {string(text)},
		jetstream.ExpectedLastSubjSeqHeader: {"0"},
	}
	return m, nil
}

// Ending reads how a job ended; ErrNoEnding when it has not.
func (s *Store) Ending(ctx context.Context, batch, key string) (Ending, error) {
	m, err := s.results.GetLastMsgForSubject(ctx, resultSubject(batch, key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Ending{}, ErrNoEnding
	}
	if err != nil {
		return Ending{}, fmt.Errorf("look for the ending of %s: %w", key, err)
	}
	return readEnding(m.Subject, m.Header, m.Data)
}

func readEnding(subject string, h nats.Header, data []byte) (Ending, error) {
	e := Ending{Key: subject[strings.LastIndexByte(subject, '.')+1:], Dead: h.Get(headerEnding) == endingDead, Line: data}
	if err := json.Unmarshal([]byte(h.Get(headerMeta)), &e.Meta); err != nil {
		return Ending{}, fmt.Errorf("decode meta of %s: %w", e.Key, err)
	}
	return e, nil
}

// AnswerLine makes an OpenAI output line. body must be JSON without line breaks.
func AnswerLine(j *producer.Job, call, requestID string, body []byte) []byte {
	b := make([]byte, 0, len(body)+len(j.ID)+len(requestID)+128)
	b = append(b, `{"id":"batch_req_`...)
	b = append(b, call...)
	b = append(b, `","custom_id":`...)
	b = appendString(b, customID(j))
	b = append(b, `,"response":{"status_code":200,"request_id":`...)
	b = appendString(b, requestID)
	b = append(b, `,"body":`...)
	b = append(b, body...)
	return append(b, `},"error":null}`...)
}

// customID is what the job's line is known by: its author's id, or else the key.
func customID(j *producer.Job) string {
	if j.ID != "" {
		return j.ID
	}
	return j.Key
}
