// Package chat owns the shapes of OpenAI's chat completions that other dialects are translated
// from and to: the answer, the refusal of a request, and the members of a request's body.
package chat

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Path is the endpoint of chat lines.
const Path = "/v1/chat/completions"

// Answer is a chat.completion.
type Answer struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []Choice `json:"choices"`
	Usage   *Usage   `json:"usage,omitempty"`
	// Raw is the provider's own answer, where it is asked for.
	Raw jsontext.Value `json:"nightshift_raw,omitempty"`
}

// Choice is one of an answer's.
type Choice struct {
	Index        int       `json:"index"`
	Message      Message   `json:"message"`
	LogProbs     *struct{} `json:"logprobs"`
	FinishReason string    `json:"finish_reason"`
}

// Message is what the assistant said. Content is null where it only calls tools.
type Message struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"`
	Refusal   *string    `json:"refusal"`
	Reasoning string     `json:"reasoning_content,omitempty"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
}

// ToolCall is one call of a function.
type ToolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function Function `json:"function"`
}

// Function is a function's name and its arguments, JSON in a string.
type Function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Usage is what an answer used. A provider that tells only the sum leaves the parts out.
type Usage struct {
	Prompt     *int    `json:"prompt_tokens,omitempty"`
	Completion *int    `json:"completion_tokens,omitempty"`
	Total      int     `json:"total_tokens"`
	Details    *Cached `json:"prompt_tokens_details,omitempty"`
}

// Cached tells how much of a prompt came from the provider's cache, and how much went there.
type Cached struct {
	Read    int `json:"cached_tokens"`
	Written int `json:"cache_creation_tokens,omitzero"`
}

// NewAnswer is an answer of one choice, made now.
func NewAnswer(id, model string, c Choice) Answer {
	return Answer{
		ID: id, Object: "chat.completion", Created: time.Now().Unix(), Model: model, Choices: []Choice{c},
	}
}

// Decode reads JSON as providers send it: a name given twice or half a character does not
// spoil an answer that was paid for.
func Decode(data []byte, to any) error {
	return json.Unmarshal(data, to, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Encode writes what Decode read. The members of a map are sorted.
func Encode(v any) ([]byte, error) {
	return json.Marshal(v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
}
