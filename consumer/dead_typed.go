package consumer

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// wanted says which kinds of JSON value every provider takes for a member of a request body; "" where
// they differ.
func wanted(member string) (kinds, words string) {
	switch member {
	case "max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p", "top_k", "n",
		"seed", "presence_penalty", "frequency_penalty", "top_logprobs", "dimensions":
		return "0", "a number"
	case "stream", "store", "parallel_tool_calls", "echo":
		return "tf", "true or false"
	case "model", "user", "reasoning_effort", "service_tier", "suffix", "previous_response_id":
		return `"`, "a text"
	case "messages", "tools", "stop_sequences":
		return "[", "a list"
	case "response_format", "stream_options", "metadata", "logit_bias", "reasoning", "thinking":
		return "{", "an object"
	case "stop", "input":
		return `"[`, "a text or a list"
	case "tool_choice":
		return `"{`, "a text or an object"
	}
	return "", ""
}

// mistyped says which member of a body has a value of a type that no provider takes, such as a number
// in quotes: its job would only die again. It never quotes the value.
func mistyped(body jsontext.Value) error {
	all, err := objectOf(body)
	if err != nil {
		return nil //nolint:nilerr // that is for others to say
	}
	for _, m := range all {
		kinds, words := wanted(m.name)
		kind := m.value.Kind()
		if kinds != "" && kind != jsontext.KindNull && !strings.ContainsRune(kinds, rune(kind)) {
			return fmt.Errorf("body.%s must be %s", m.name, words)
		}
	}
	return nil
}
