package anthropic

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
)

type tool struct {
	Name         string         `json:"name"`
	Description  string         `json:"description,omitempty"`
	InputSchema  jsontext.Value `json:"input_schema"`
	CacheControl jsontext.Value `json:"cache_control,omitzero"`
}

type toolChoice struct {
	Type    string `json:"type"`
	Name    string `json:"name,omitempty"`
	OneOnly bool   `json:"disable_parallel_tool_use,omitzero"`
}

// equip puts the tools and their choice into the request.
func (r *request) equip(q question) error {
	for i, v := range q.Tools {
		t, err := function(v, element("tools", i))
		if err != nil {
			return err
		}
		r.Tools = append(r.Tools, t)
	}
	var choice *toolChoice
	if chat.Given(q.ToolChoice) != nil {
		var err error
		if choice, err = choose(q.ToolChoice); err != nil {
			return err
		}
	}
	oneOnly := q.Parallel != nil && !*q.Parallel
	if choice == nil && oneOnly {
		choice = &toolChoice{Type: "auto"}
	}
	if choice != nil && len(r.Tools) > 0 { // Anthropic refuses a choice among none
		choice.OneOnly = oneOnly && choice.Type != "none"
		r.ToolChoice = choice
	}
	return nil
}

// function makes a tool of a function. That its schema is strict is not said on: Anthropic's
// older models refuse the word.
func function(v jsontext.Value, at string) (tool, error) {
	var f struct {
		Type     string `json:"type"`
		Function *struct {
			Name        string         `json:"name"`
			Description string         `json:"description"`
			Parameters  jsontext.Value `json:"parameters"`
		} `json:"function"`
		CacheControl jsontext.Value `json:"cache_control"`
	}
	if err := read(v, &f, at); err != nil {
		return tool{}, err
	}
	if f.Type != "function" || f.Function == nil {
		return tool{}, &chat.Refusal{Param: at + ".type", Why: "must be function for Anthropic"}
	}
	t := tool{
		Name: f.Function.Name, Description: f.Function.Description,
		InputSchema: chat.Given(f.Function.Parameters), CacheControl: chat.Given(f.CacheControl),
	}
	switch {
	case t.InputSchema == nil || chat.Compact(t.InputSchema) == "{}":
		t.InputSchema = jsontext.Value(`{"type":"object","properties":{}}`)
	case t.InputSchema.Kind() != '{':
		return tool{}, &chat.Refusal{Param: at + ".function.parameters", Why: "must be an object"}
	}
	return t, nil
}

// choose reads tool_choice.
func choose(v jsontext.Value) (*toolChoice, error) {
	switch chat.Compact(v) {
	case `"auto"`:
		return &toolChoice{Type: "auto"}, nil
	case `"none"`:
		return &toolChoice{Type: "none"}, nil
	case `"required"`:
		return &toolChoice{Type: "any"}, nil
	}
	var named struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if v.Kind() == '{' {
		if err := read(v, &named, "tool_choice"); err != nil {
			return nil, err
		}
	}
	if named.Type != "function" || named.Function.Name == "" {
		return nil, &chat.Refusal{Param: "tool_choice", Why: "is not supported by Anthropic with this value"}
	}
	return &toolChoice{Type: "tool", Name: named.Function.Name}, nil
}

// toolUse makes a block of an assistant's call.
func toolUse(v jsontext.Value, at string) (block, error) {
	var c chat.ToolCall
	if err := read(v, &c, at); err != nil {
		return block{}, err
	}
	if c.Type != "function" && c.Type != "" {
		return block{}, &chat.Refusal{Param: at + ".type", Why: "must be function for Anthropic"}
	}
	input := jsontext.Value(strings.TrimSpace(c.Function.Arguments))
	if len(input) == 0 {
		input = jsontext.Value("{}")
	}
	if input.Kind() != '{' || !input.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return block{}, &chat.Refusal{Param: at + ".function.arguments", Why: "must be a JSON object for Anthropic"}
	}
	return block{Type: "tool_use", ID: c.ID, Name: c.Function.Name, Input: input}, nil
}
