package policy

import (
	"net/textproto"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Answer is what an answer says about itself: which model gave it, why it ended and what it
// used. Fields that the provider left out are zero.
type Answer struct {
	Model        string
	FinishReason string
	InputTokens  int
	OutputTokens int
}

// ReadAnswer reads the members of an OpenAI or Anthropic answer that nightshift counts; it
// skips the text.
func ReadAnswer(body []byte) Answer {
	var a Answer
	d := decoder(body)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return a
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return a
		}
		key := string(name)
		value, err := d.ReadValue()
		if err != nil {
			return a
		}
		a.note(key, value)
	}
	return a
}

func (a *Answer) note(key string, v jsontext.Value) {
	switch key {
	case `"model"`:
		_ = json.Unmarshal(v, &a.Model) // a model that is no string is left out
	case `"stop_reason"`, `"status"`:
		if v.Kind() == '"' {
			_ = json.Unmarshal(v, &a.FinishReason)
		}
	case `"choices"`:
		var choices []struct {
			FinishReason string `json:"finish_reason"`
		}
		if json.Unmarshal(v, &choices) == nil && len(choices) > 0 {
			a.FinishReason = choices[0].FinishReason
		}
	case `"usage"`:
		a.usage(v)
	}
}

func (a *Answer) usage(v jsontext.Value) {
	var u struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Input      int `json:"input_tokens"`
		Output     int `json:"output_tokens"`
	}
	if json.Unmarshal(v, &u) == nil {
		a.InputTokens, a.OutputTokens = u.Prompt+u.Input, u.Completion+u.Output
	}
}

// RequestID is the provider's own name for a call, for its support; empty when it gave none.
func RequestID(h textproto.MIMEHeader) string {
	return requestID(Reply{Header: h}, "")
}
