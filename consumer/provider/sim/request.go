package sim

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// request is what the provider wants to know of a body. Its slices are parts of the body.
type request struct {
	// model and prompt are JSON as it came; the prompt is messages, prompt or input.
	model, prompt []byte
	// outputMax is max_tokens or one of its newer names.
	outputMax     int
	stream, usage bool
	// inputs is how many texts an embeddings request holds.
	inputs int
}

// parseRequest reads the members it needs without building anything: the simulator must be
// much faster than what it measures. ok is false unless the body is a JSON object.
func parseRequest(body []byte) (q request, ok bool) {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return q, false
	}
	members(body, q.member)
	if len(q.model) == 0 || q.model[0] != '"' {
		q.model = []byte(`"sim"`)
	}
	return q, true
}

func (q *request) member(key, value []byte) {
	switch string(key) {
	case "model":
		q.model = value
	case "messages", "prompt", "input":
		q.prompt = value
		q.inputs = texts(value)
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		// What is no number asks for nothing, and what overflows for a lot.
		n, _ := strconv.Atoi(string(value))
		q.outputMax = min(max(n, 0), 1<<40)
	case "stream":
		q.stream = string(value) == "true"
	case "stream_options":
		members(value, func(k, v []byte) {
			q.usage = q.usage || string(k) == "include_usage" && string(v) == "true"
		})
	}
}

// tokens are those of the prompt: a quarter of its bytes, at least one.
func (q *request) tokens() int { return max(1, len(q.prompt)/4) }

// members calls f for each member of a valid JSON object; of anything else it has none.
func members(object []byte, f func(key, value []byte)) {
	if len(object) == 0 || object[0] != '{' {
		return
	}
	for rest := space(object[1:]); rest[0] == '"'; {
		n := span(rest)
		key := rest[1 : n-1]
		rest = space(space(rest[n:])[1:]) // the colon
		n = span(rest)
		f(key, rest[:n])
		rest = space(rest[n:])
		if rest[0] == ',' {
			rest = space(rest[1:])
		}
	}
}

// texts counts the inputs: an array of strings or of arrays is many, all else is one.
func texts(value []byte) int {
	if value[0] != '[' {
		return 1
	}
	n := 0
	for rest := space(value[1:]); rest[0] == '"' || rest[0] == '['; n++ {
		rest = space(rest[span(rest):])
		if rest[0] == ',' {
			rest = space(rest[1:])
		}
	}
	return max(n, 1)
}

func space(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// span is the length of the JSON value at the start of b, which is known to be valid.
func span(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 || !ends(b, i+1) {
				continue
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// ends says whether a bare value, such as a number, is over at i.
func ends(b []byte, i int) bool {
	return i == len(b) || strings.IndexByte(",]} \t\r\n", b[i]) >= 0
}
