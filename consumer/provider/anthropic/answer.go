package anthropic

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
)

// reply is an answer of the Messages API.
type reply struct {
	ID         string   `json:"id"`
	Model      string   `json:"model"`
	Content    *[]said  `json:"content"`
	StopReason string   `json:"stop_reason"`
	Usage      *metered `json:"usage"`
}

// said is a block of an answer.
type said struct {
	Type     string         `json:"type"`
	Text     string         `json:"text"`
	Thinking string         `json:"thinking"`
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Input    jsontext.Value `json:"input"`
}

type metered struct {
	Input         int `json:"input_tokens"`
	Output        int `json:"output_tokens"`
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"`
}

// completion makes a chat.completion of an answer. An answer that is OpenAI's already, as some
// gateways give whatever was asked, stays as it is.
func (p *Provider) completion(body []byte) ([]byte, error) {
	if chat.Given(chat.Get(body, "choices")) != nil {
		return body, nil
	}
	var r reply
	if err := chat.Decode(body, &r); err != nil {
		return nil, err
	}
	if r.Content == nil {
		return nil, errors.New("read answer: no content")
	}
	a := chat.NewAnswer(r.ID, r.Model, chat.Choice{Message: speech(*r.Content), FinishReason: finish(r.StopReason)})
	if r.Usage != nil {
		a.Usage = r.Usage.sum()
	}
	if p.c.Raw {
		a.Raw = body
	}
	return chat.Encode(a)
}

// speech makes one message of the blocks. Those that OpenAI has nothing like, such as a search
// of Anthropic's own, are in the raw answer only.
func speech(blocks []said) chat.Message {
	m := chat.Message{Role: "assistant"}
	var text, thinking strings.Builder
	for _, b := range blocks {
		switch b.Type {
		case "text":
			text.WriteString(b.Text)
		case "thinking":
			thinking.WriteString(b.Thinking)
		case "tool_use":
			m.ToolCalls = append(m.ToolCalls, chat.ToolCall{
				ID: b.ID, Type: "function", Function: chat.Function{Name: b.Name, Arguments: arguments(b.Input)},
			})
		}
	}
	m.Reasoning = thinking.String()
	if s := text.String(); s != "" || len(m.ToolCalls) == 0 {
		m.Content = &s
	}
	return m
}

// arguments are a call's input as text. Input that a stream's end cut short is a string here,
// see blockInFlight.whole.
func arguments(input jsontext.Value) string {
	var cut string
	switch {
	case chat.Given(input) == nil:
		return "{}"
	case input.Kind() == '"' && chat.Decode(input, &cut) == nil:
		return cut
	}
	return chat.Compact(input)
}

// finish maps a stop_reason to a finish_reason. What is new to it ended somehow.
func finish(reason string) string {
	switch reason {
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "tool_use":
		return "tool_calls"
	case "refusal":
		return "content_filter"
	}
	return "stop"
}

// sum counts as OpenAI does, whose prompt_tokens include those of the cache.
func (m *metered) sum() *chat.Usage {
	prompt := m.Input + m.CacheCreation + m.CacheRead
	return &chat.Usage{
		Prompt: &prompt, Completion: &m.Output, Total: prompt + m.Output,
		Details: &chat.Cached{Read: m.CacheRead, Written: m.CacheCreation},
	}
}
