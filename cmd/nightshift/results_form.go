package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"nightshift/consumer"
)

// form is how outcomes are written, without the newline at the end.
type form interface {
	head() []byte // nil for none
	answer(e consumer.Ending) ([]byte, error)
	dead(l *consumer.DeadLetter) ([]byte, error)
}

// formOf is nil for an unknown name.
func formOf(name string, errors bool) form {
	switch name {
	case "openai":
		return openaiForm{}
	case "anthropic":
		return anthropicForm{}
	case "csv":
		return csvForm{errors}
	case "text":
		return textForm{}
	}
	return nil
}

// openaiForm is how answers are stored.
type openaiForm struct{}

func (openaiForm) head() []byte                                { return nil }
func (openaiForm) answer(e consumer.Ending) ([]byte, error)    { return e.Line, nil }
func (openaiForm) dead(l *consumer.DeadLetter) ([]byte, error) { return l.ErrorLine(), nil }

// outputLine is what other forms need of an OpenAI output line.
type outputLine struct {
	ID       string `json:"custom_id"`
	Response struct {
		Body json.RawMessage `json:"body"`
	} `json:"response"`
}

func readLine(e consumer.Ending) (l outputLine, err error) {
	if err := json.Unmarshal(e.Line, &l); err != nil {
		return l, fmt.Errorf("read the answer of %s: %w", e.Key, err)
	}
	return l, nil
}

// letterID is what a dead letter's job was called by its author.
func letterID(l *consumer.DeadLetter) string { return firstOf(l.CustomID, l.Key) }

// csvForm is a table with a head; answers and errors have different columns.
type csvForm struct{ errors bool }

func (f csvForm) head() []byte {
	if f.errors {
		return csvLine("custom_id", "class", "owner", "status", "code", "message")
	}
	return csvLine("custom_id", "text", "finish_reason", "model", "input_tokens", "output_tokens", "latency_ms", "calls")
}

func (csvForm) answer(e consumer.Ending) ([]byte, error) {
	l, err := readLine(e)
	if err != nil {
		return nil, err
	}
	m := e.Meta
	return csvLine(l.ID, answerText(l.Response.Body), m.FinishReason, m.Model, strconv.Itoa(m.InputTokens),
		strconv.Itoa(m.OutputTokens), strconv.FormatInt(m.LatencyMS, 10), strconv.Itoa(m.Calls)), nil
}

func (csvForm) dead(l *consumer.DeadLetter) ([]byte, error) {
	return csvLine(letterID(l), string(l.Class), l.Owner, strconv.Itoa(l.Status), l.Code, l.Message), nil
}

func csvLine(cells ...string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(cells) // memory takes it all
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// textForm is for people: each text under its id.
type textForm struct{}

func (textForm) head() []byte { return nil }

func (textForm) answer(e consumer.Ending) ([]byte, error) {
	l, err := readLine(e)
	return []byte("== " + l.ID + "\n" + strings.TrimRight(answerText(l.Response.Body), "\n") + "\n"), err
}

func (textForm) dead(l *consumer.DeadLetter) ([]byte, error) {
	return fmt.Appendf(nil, "== %s\n%s, %s\n%s\n", letterID(l), l.Class, l.Owner, l.Message), nil
}

// reply is what the answers of the known endpoints have in common.
type reply struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Model   string `json:"model"`
	Choices []struct {
		Text         string `json:"text"`
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content   json.RawMessage `json:"content"`
			Refusal   string          `json:"refusal"`
			ToolCalls []struct {
				ID       string `json:"id"`
				Function struct {
					Name      string `json:"name"`
					Arguments string `json:"arguments"`
				} `json:"function"`
			} `json:"tool_calls"`
		} `json:"message"`
	} `json:"choices"`
	Content []part `json:"content"` // of Anthropic's messages
	Output  []struct {
		Content []part `json:"content"`
	} `json:"output"` // of OpenAI's responses
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Input      int `json:"input_tokens"`
		Output     int `json:"output_tokens"`
	} `json:"usage"`
}

type part struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// answerText is the bare text of an answer. What has none, such as an embedding, is its JSON.
func answerText(body json.RawMessage) string {
	var r reply
	if json.Unmarshal(body, &r) != nil {
		return string(body)
	}
	var parts []string
	if len(r.Choices) > 0 {
		c := r.Choices[0]
		parts = append(parts, c.Text, contentText(c.Message.Content), c.Message.Refusal)
		for _, t := range c.Message.ToolCalls {
			parts = append(parts, t.Function.Name+"("+t.Function.Arguments+")")
		}
	}
	parts = append(parts, partsText(r.Content))
	for _, o := range r.Output {
		parts = append(parts, partsText(o.Content))
	}
	if text := strings.Join(parts, ""); text != "" || len(r.Choices) > 0 {
		return text
	}
	return string(body)
}

// contentText reads a message's content: a string, or parts of which some are text.
func contentText(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []part
	if json.Unmarshal(content, &parts) == nil {
		return partsText(parts)
	}
	return ""
}

func partsText(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}
