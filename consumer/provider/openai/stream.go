package openai

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/consumer/provider/internal/post"
	"nightshift/consumer/provider/internal/sse"
	"nightshift/policy"
)

const (
	completionsPath = "/v1/completions"
	responsesPath   = "/v1/responses"
)

// newStream is what puts a call's stream together; nil for an endpoint that has none.
func newStream(c policy.Call) post.Stream {
	switch c.Path {
	case chat.Path, completionsPath:
		return &chunks{request: c.Body, choices: map[int]*value{}}
	case responsesPath:
		return &response{}
	}
	return nil
}

// errChunk is all that is said of a chunk that cannot be read: its text stays here.
var errChunk = errors.New("a chunk is not OpenAI's")

// chunks is a stream of chat.completion.chunk or text_completion, put together.
type chunks struct {
	request []byte
	head    value          // all but the choices
	choices map[int]*value // by index
	fault   []byte
}

// Add takes one event.
func (s *chunks) Add(e sse.Event) (done bool, err error) {
	if bytes.Equal(bytes.TrimSpace(e.Data), []byte("[DONE]")) {
		return true, nil
	}
	if s.fault = chat.Fault(e); s.fault != nil {
		return true, nil
	}
	if jsontext.Value(e.Data).Kind() != '{' {
		return false, errChunk
	}
	return false, members(e.Data, s.take)
}

func (s *chunks) take(name string, v jsontext.Value) error {
	switch {
	case name == "choices" && v.Kind() == '[':
		return elements(v, s.choice)
	case name == "obfuscation": // padding against those who measure packets
		return nil
	case v.Kind() == 'n', string(v) == `""`: // Azure's first chunk names no model
		return nil
	case string(v) == `"chat.completion.chunk"`:
		v = jsontext.Value(`"chat.completion"`)
	}
	s.head.member(name).replace(v)
	return nil
}

func (s *chunks) choice(v jsontext.Value) error {
	if v.Kind() != '{' {
		return errChunk
	}
	i, _ := strconv.Atoi(string(bytes.TrimSpace(chat.Get(v, "index"))))
	c := s.choices[i]
	if c == nil {
		c = &value{}
		s.choices[i] = c
		c.member("index").replace([]byte(strconv.Itoa(i)))
	}
	return members(v, func(name string, v jsontext.Value) error {
		if name == "delta" {
			name = "message"
		}
		return c.member(name).add(name, v)
	})
}

// Whole says whether every choice that was asked for has ended: some servers send no [DONE].
func (s *chunks) Whole() bool {
	n, err := strconv.Atoi(string(chat.Get(s.request, "n")))
	if err != nil {
		n = 1
	}
	for _, c := range s.choices {
		if c.of("finish_reason").text == nil {
			return false
		}
	}
	return len(s.choices) >= max(n, 1)
}

// Body is the whole answer, or the error that came instead.
func (s *chunks) Body() ([]byte, error) {
	if s.fault != nil {
		return s.fault, nil
	}
	list := s.head.member("choices")
	*list = value{kind: '['}
	for _, i := range slices.Sorted(maps.Keys(s.choices)) {
		c := s.choices[i]
		if m := c.of("message"); m.kind == '{' {
			m.settle()
		}
		list.list = append(list.list, c)
	}
	return s.head.append(nil), nil
}

// settle gives a message the members that every message has without streaming.
func (v *value) settle() {
	if role := v.member("role"); role.text == nil {
		role.replace([]byte(`"assistant"`))
	}
	if content := v.member("content"); content.kind == 0 {
		content.replace([]byte("null"))
	}
	for _, call := range v.of("tool_calls").list {
		call.remove("index")
	}
}

// response is a stream of the Responses API: its last event holds the whole answer.
type response struct{ body []byte }

// Add takes one event.
func (s *response) Add(e sse.Event) (done bool, err error) {
	if s.body = chat.Fault(e); s.body != nil {
		return true, nil
	}
	var v struct {
		Type     string         `json:"type"`
		Response jsontext.Value `json:"response"`
	}
	if chat.Decode(e.Data, &v) != nil {
		return false, errChunk
	}
	switch v.Type {
	case "response.completed", "response.incomplete", "response.cancelled":
		s.body = v.Response
		return true, nil
	}
	return false, nil
}

// Whole says that nothing is before the last event.
func (s *response) Whole() bool { return false }

// Body is the whole answer, or the error that came instead.
func (s *response) Body() ([]byte, error) { return s.body, nil }
