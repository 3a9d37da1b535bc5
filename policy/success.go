package policy

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// isAnswer reports whether the body of a 2xx holds an answer: whole JSON with the field that
// an endpoint answers in, and no error beside it; or a stream with an event and none in error.
func isAnswer(body []byte) bool {
	body = trim(body)
	if isStream(body) {
		return hasEvent(body) && errorEvent(body) == nil
	}
	answered, faulty, whole := scan(body)
	return answered && !faulty && whole
}

// declaresError reports whether the body of a 2xx says itself that it is an error.
func declaresError(body []byte) bool {
	body = trim(body)
	_, faulty, _ := scan(body)
	return faulty || errorEvent(body) != nil
}

// isStream tells server-sent events by their first field; a comment keeps a stream alive.
func isStream(body []byte) bool {
	for _, field := range []string{"data:", "event:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(body, []byte(field)) {
			return true
		}
	}
	return false
}

func hasEvent(stream []byte) bool {
	return bytes.Contains(stream, []byte("data: {")) || bytes.Contains(stream, []byte("data:{"))
}

// errorEvent gives the data of a stream's first event that is an error, nil when there is none.
func errorEvent(body []byte) []byte {
	if !isStream(body) {
		return nil
	}
	named := false
	for line := range bytes.Lines(body) {
		field, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(field) {
		case "":
			named = false
		case "event":
			named = string(value) == "error"
		case "data":
			if named || isError(value) {
				return value
			}
		}
	}
	return nil
}

// isError reports whether an event's data is an error. Few hold the word, so few are parsed.
func isError(data []byte) bool {
	if !bytes.Contains(data, []byte("error")) && !bytes.Contains(data, []byte("failed")) {
		return false
	}
	_, faulty, _ := scan(data)
	return faulty
}

// scan looks through an object's fields without keeping any. It is on the path of every
// answer, so it allocates no more than the decoder.
func scan(body []byte) (answered, faulty, whole bool) {
	d := decoder(body)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false, false, false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return answered, faulty, false
		}
		answers, fails := meaning(string(name))
		value, err := d.ReadValue()
		if err != nil {
			return answered, faulty, false
		}
		answered = answered || answers != nil && answers(value)
		faulty = faulty || fails != nil && fails(value)
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace
		return answered, faulty, false
	}
	return answered, faulty, len(bytes.TrimSpace(d.UnreadBuffer())) == 0
}

// meaning tells what a field of a 2xx, its name in quotes, says by its value.
func meaning(name string) (answers, fails func(jsontext.Value) bool) {
	switch name {
	case `"choices"`, `"data"`, `"results"`: // the consumer reads the first of these
		return filled, nil
	case `"content"`, `"output"`, `"response"`: // Anthropic may end its turn with no content
		return nested, nil
	case `"error"`: // null in every answer of the Responses API
		return nil, filled
	case `"type"`:
		return nil, errorType
	}
	return nil, nil
}

func nested(v jsontext.Value) bool { return v.Kind() == '{' || v.Kind() == '[' }

func errorType(v jsontext.Value) bool {
	return string(v) == `"error"` || string(v) == `"response.failed"`
}

func filled(v jsontext.Value) bool {
	switch {
	case nested(v):
		return len(bytes.TrimSpace(v[1:len(v)-1])) > 0
	default:
		return v.Kind() != 'n' && v.Kind() != 'f' && string(v) != `""`
	}
}
