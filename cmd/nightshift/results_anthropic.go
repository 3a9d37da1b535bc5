package main

import (
	"encoding/json"
	"fmt"

	"nightshift/consumer"
	"nightshift/policy"
)

// anthropicForm is the lines of Anthropic's message batches. Answers of other providers are told in
// its words, as far as it has any.
type anthropicForm struct{}

// anthropicLine is a line of a batch's results.
type anthropicLine struct {
	ID     string          `json:"custom_id"`
	Result anthropicResult `json:"result"`
}

type anthropicResult struct {
	Type    string          `json:"type"` // succeeded, errored or expired
	Message any             `json:"message,omitempty"`
	Error   *anthropicError `json:"error,omitempty"`
}

type anthropicError struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

type anthropicMessage struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Role       string         `json:"role"`
	Model      string         `json:"model"`
	Content    []any          `json:"content"`
	StopReason string         `json:"stop_reason"`
	Usage      map[string]int `json:"usage"`
}

func (anthropicForm) head() []byte { return nil }

func (anthropicForm) answer(e consumer.Ending) ([]byte, error) {
	l, err := readLine(e)
	if err != nil {
		return nil, err
	}
	var r reply
	if err := json.Unmarshal(l.Response.Body, &r); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", e.Key, err)
	}
	line := anthropicLine{ID: l.ID, Result: anthropicResult{Type: "succeeded", Message: l.Response.Body}}
	if r.Type != "message" {
		line.Result.Message = r.message(answerText(l.Response.Body))
	}
	return json.Marshal(line)
}

func (anthropicForm) dead(l *consumer.DeadLetter) ([]byte, error) {
	line := anthropicLine{ID: letterID(l), Result: anthropicResult{Type: "expired"}}
	if l.Class != policy.Expired {
		e := &anthropicError{Type: "error"}
		e.Error.Type, e.Error.Message = firstOf(l.Type, l.Code, string(l.Class)), l.Message
		line.Result = anthropicResult{Type: "errored", Error: e}
	}
	return json.Marshal(line)
}

// message tells a chat completion, or whatever has a text, as a message.
func (r *reply) message(text string) anthropicMessage {
	m := anthropicMessage{
		ID: r.ID, Type: "message", Role: "assistant", Model: r.Model, Content: []any{}, StopReason: "end_turn",
		Usage: map[string]int{
			"input_tokens":  r.Usage.Prompt + r.Usage.Input,
			"output_tokens": r.Usage.Completion + r.Usage.Output,
		},
	}
	if len(r.Choices) == 0 {
		m.Content = append(m.Content, part{"text", text})
		return m
	}
	c := r.Choices[0]
	if text := c.Text + contentText(c.Message.Content) + c.Message.Refusal; text != "" {
		m.Content = append(m.Content, part{"text", text})
	}
	for _, t := range c.Message.ToolCalls {
		m.Content = append(m.Content, map[string]any{
			"type": "tool_use", "id": t.ID, "name": t.Function.Name, "input": toolInput(t.Function.Arguments),
		})
	}
	m.StopReason = stopReason(c.FinishReason)
	return m
}

// toolInput is the arguments as JSON; a model may have written something else.
func toolInput(arguments string) any {
	if json.Valid([]byte(arguments)) {
		return json.RawMessage(arguments)
	}
	return map[string]string{"arguments": arguments}
}

func stopReason(finish string) string {
	switch finish {
	case "length":
		return "max_tokens"
	case "tool_calls", "function_call":
		return "tool_use"
	case "content_filter":
		return "refusal"
	}
	return "end_turn"
}
