package anthropic

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
)

// question is the body of a chat line.
type question struct {
	Model       jsontext.Value   `json:"model"`
	Messages    []jsontext.Value `json:"messages"`
	MaxTokens   *int64           `json:"max_tokens"`
	MaxAnswer   *int64           `json:"max_completion_tokens"`
	Temperature *float64         `json:"temperature"`
	TopP        *float64         `json:"top_p"`
	Stop        jsontext.Value   `json:"stop"`
	Tools       []jsontext.Value `json:"tools"`
	ToolChoice  jsontext.Value   `json:"tool_choice"`
	Parallel    *bool            `json:"parallel_tool_calls"`
	User        string           `json:"user"`

	// Anthropic's own, which go there as they are.
	TopK     jsontext.Value `json:"top_k"`
	Thinking jsontext.Value `json:"thinking"`

	unsupported
	hints
}

// unsupported are members that Anthropic has nothing like. One that asks for nothing is let
// through.
type unsupported struct {
	N                jsontext.Value `json:"n"`
	LogProbs         jsontext.Value `json:"logprobs"`
	TopLogProbs      jsontext.Value `json:"top_logprobs"`
	LogitBias        jsontext.Value `json:"logit_bias"`
	PresencePenalty  jsontext.Value `json:"presence_penalty"`
	FrequencyPenalty jsontext.Value `json:"frequency_penalty"`
	ResponseFormat   jsontext.Value `json:"response_format"`
	Modalities       jsontext.Value `json:"modalities"`
	ServiceTier      jsontext.Value `json:"service_tier"`
	Functions        jsontext.Value `json:"functions"`
}

// hints are members that change no answer's meaning, or only promise to try; and those of
// streams, which the configuration decides.
type hints struct {
	Stream         jsontext.Value `json:"stream"`
	StreamOptions  jsontext.Value `json:"stream_options"`
	Seed           jsontext.Value `json:"seed"`
	Store          jsontext.Value `json:"store"`
	Metadata       jsontext.Value `json:"metadata"`
	CacheKey       jsontext.Value `json:"prompt_cache_key"`
	CacheRetention jsontext.Value `json:"prompt_cache_retention"`
	SafetyID       jsontext.Value `json:"safety_identifier"`
}

// request is the body of a Messages call.
type request struct {
	Model       jsontext.Value `json:"model,omitzero"`
	MaxTokens   int64          `json:"max_tokens"`
	System      []block        `json:"system,omitempty"`
	Messages    []turn         `json:"messages"`
	Temperature *float64       `json:"temperature,omitempty"`
	TopP        *float64       `json:"top_p,omitempty"`
	TopK        jsontext.Value `json:"top_k,omitzero"`
	Thinking    jsontext.Value `json:"thinking,omitzero"`
	Stop        []string       `json:"stop_sequences,omitempty"`
	Tools       []tool         `json:"tools,omitempty"`
	ToolChoice  *toolChoice    `json:"tool_choice,omitempty"`
	Metadata    *metadata      `json:"metadata,omitempty"`
	Stream      bool           `json:"stream,omitzero"`
}

type metadata struct {
	UserID string `json:"user_id"`
}

// translate makes a Messages request of a chat line. Its errors are refusals.
func (p *Provider) translate(line []byte) ([]byte, error) {
	var q question
	if err := read(line, &q, "", json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := request{
		Model: chat.Given(q.Model), MaxTokens: int64(p.c.MaxTokens), Temperature: q.Temperature, TopP: q.TopP,
		TopK: chat.Given(q.TopK), Thinking: chat.Given(q.Thinking), Stream: p.c.Stream,
	}
	if p.c.Model != "" {
		r.Model = chat.String("model", p.c.Model).Value
	}
	for _, n := range []*int64{q.MaxTokens, q.MaxAnswer} { // the newer name wins
		if n != nil {
			r.MaxTokens = *n
		}
	}
	if q.User != "" {
		r.Metadata = &metadata{q.User}
	}
	var err error
	if r.Stop, err = texts(q.Stop); err != nil {
		return nil, err
	}
	if err := r.say(q.Messages); err != nil {
		return nil, err
	}
	if err := r.equip(q); err != nil {
		return nil, err
	}
	return chat.Encode(r)
}

// check refuses what asks Anthropic for something it does not do.
func (q *question) check() error {
	if err := chat.Unsupported("Anthropic", []chat.Ask{
		{Name: "n", Value: q.N, Nothing: []string{"1"}},
		{Name: "logprobs", Value: q.LogProbs, Nothing: []string{"false"}},
		{Name: "top_logprobs", Value: q.TopLogProbs, Nothing: []string{"0"}},
		{Name: "logit_bias", Value: q.LogitBias, Nothing: []string{"{}"}},
		{Name: "presence_penalty", Value: q.PresencePenalty, Nothing: []string{"0", "0.0"}},
		{Name: "frequency_penalty", Value: q.FrequencyPenalty, Nothing: []string{"0", "0.0"}},
		{Name: "response_format", Value: q.ResponseFormat, Nothing: []string{`{"type":"text"}`}},
		{Name: "modalities", Value: q.Modalities, Nothing: []string{`["text"]`}},
		{Name: "service_tier", Value: q.ServiceTier, Nothing: []string{`"auto"`, `"default"`}},
		{Name: "functions", Value: q.Functions, Nothing: []string{"[]"}},
	}); err != nil {
		return err
	}
	if q.Temperature != nil && *q.Temperature > 1 {
		return &chat.Refusal{Param: "temperature", Why: "must be at most 1 for Anthropic"}
	}
	return nil
}

// texts reads a string or an array of them.
func texts(v jsontext.Value) ([]string, error) {
	switch {
	case chat.Given(v) == nil:
		return nil, nil
	case v.Kind() == '"':
		one := make([]string, 1)
		return one, read(v, &one[0], "stop")
	}
	var many []string
	return many, read(v, &many, "stop")
}

// read decodes a part of the line. Its error is a refusal that names the member by its path
// below at, and holds no value.
func read(v jsontext.Value, to any, at string, options ...json.Options) error {
	options = append(options, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	err := json.Unmarshal(v, to, options...)
	if err == nil {
		return nil
	}
	refusal := &chat.Refusal{Param: at, Why: "is not of the type that OpenAI documents"}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		refusal.Param = path(at, semantic.JSONPointer)
	}
	if errors.Is(err, json.ErrUnknownName) {
		refusal.Why = "is not supported by Anthropic"
	}
	if refusal.Param == "" {
		refusal.Param = "body"
	}
	return refusal
}

// path writes a pointer as OpenAI's errors do: messages[0].content.
func path(at string, p jsontext.Pointer) string {
	var b bytes.Buffer
	b.WriteString(at)
	for token := range p.Tokens() {
		if strings.Trim(token, "0123456789") == "" {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	return b.String()
}
