package producer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxID    = 512 // bytes of a custom_id
	maxQuote = 64  // bytes of it in an error
	nameRule = "1 to 64 of A-Z a-z 0-9 _ -"
)

// FormatError says why a line or a message is no job. It never holds anything of a prompt.
type FormatError struct {
	Reason string // one line: the member and what was expected
}

// Error returns the reason.
func (e *FormatError) Error() string { return e.Reason }

func reason(text string) error { return &FormatError{Reason: text} }

// members are the values of one JSON object that matter to us, as slices of its data.
type members struct {
	data                    []byte
	id, method, url, body   jsontext.Value // a batch line's
	messages, input, prompt bool           // a bare request has them
	open, closed            bool           // how far reading came, to say what is wrong
}

// read takes m's values from data in one pass, whatever their order.
// It goes through Unmarshal because that keeps a pool of decoders and insists on the end of data.
func (m *members) read(data []byte) error {
	*m = members{data: data}
	if err := json.Unmarshal(data, m); err != nil || !m.open {
		return m.syntaxReason(err)
	}
	return nil
}

// UnmarshalJSONFrom reads one object. Its errors stay inside the package: they quote the input.
func (m *members) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	m.open = d.PeekKind() == jsontext.KindBeginObject
	if !m.open {
		_, err := d.ReadValue()
		return err
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == jsontext.KindString {
		if err := m.readMember(d); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	m.closed = err == nil
	return err
}

func (m *members) readMember(d *jsontext.Decoder) error {
	name, err := d.ReadValue()
	if err != nil {
		return err
	}
	known := m.known(name)
	value, err := d.ReadValue()
	if err != nil || known == nil {
		return err
	}
	// The decoder's slice is lent until its next read, a slice of our data is not.
	end := int(d.InputOffset())
	*known = m.data[end-len(value) : end : end]
	return nil
}

// known returns where to put the value of a batch line's member, nil for another name.
func (m *members) known(quoted []byte) *jsontext.Value {
	name, _ := unquote(quoted)
	switch string(name) {
	case "custom_id":
		return &m.id
	case "method":
		return &m.method
	case "url":
		return &m.url
	case "body":
		return &m.body
	case "messages":
		m.messages = true
	case "input":
		m.input = true
	case "prompt":
		m.prompt = true
	}
	return nil
}

// isLine tells a batch line from a bare request. A custom_id is enough: no provider knows it.
func (m *members) isLine() bool {
	return m.body != nil || m.id != nil || m.method != nil || m.url != nil
}

// bareURL is the endpoint of a bare request. A Responses request may have a prompt, a template,
// besides its input, so input is asked for first.
func (m *members) bareURL() string {
	switch {
	case m.messages:
		return "/v1/chat/completions"
	case m.input:
		return "/v1/responses"
	case m.prompt:
		return "/v1/completions"
	}
	return ""
}

// line is the job of a batch line; after an error it has the ID and Key if they are good.
func (m *members) line() (Job, error) {
	id, err := m.readID()
	if err != nil {
		return Job{}, err
	}
	job := named(id)
	if m.method != nil {
		if method, ok := unquote(m.method); !ok || string(method) != "POST" {
			return job, reason(`method: expected "POST"`)
		}
	}
	url, err := m.readURL()
	if err != nil {
		return job, err
	}
	switch {
	case m.body == nil:
		return job, reason("body is missing")
	case m.body.Kind() != jsontext.KindBeginObject:
		return job, reason("body: expected a JSON object")
	}
	job.URL, job.Body = url, m.body
	return job, nil
}

func (m *members) readID() (string, error) {
	if m.id == nil {
		return "", nil
	}
	id, ok := unquote(m.id)
	switch {
	case !ok:
		return "", reason("custom_id: expected a string")
	case len(id) == 0:
		return "", reason("custom_id is empty")
	case len(id) > maxID:
		return "", reason(fmt.Sprintf("custom_id %s: %d bytes, expected at most %d",
			quoteID(string(id)), len(id), maxID))
	case bytes.ContainsFunc(id, unicode.IsControl):
		return "", reason("custom_id " + quoteID(string(id)) + ": has a control character")
	}
	return string(id), nil
}

func (m *members) readURL() (string, error) {
	all := Endpoints()
	if m.url == nil {
		return all[0], nil
	}
	path, _ := unquote(m.url)
	for _, endpoint := range all {
		if string(path) == endpoint {
			return endpoint, nil
		}
	}
	if bytes.Contains(path, []byte("//")) {
		return "", reason("url: expected a path such as " + all[0] + ", without a host")
	}
	return "", reason("url: expected one of " + strings.Join(all, ", "))
}

// unquote returns the text of a valid JSON string, or false for another kind of value.
func unquote(v []byte) ([]byte, bool) {
	if len(v) == 0 || v[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], true
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return text, err == nil
}

// quoteID quotes the start of an id for an error, cut between characters.
func quoteID(id string) string {
	if len(id) <= maxQuote {
		return strconv.Quote(id)
	}
	cut := maxQuote
	for !utf8.RuneStart(id[cut]) {
		cut--
	}
	return strconv.Quote(id[:cut]) + "…"
}

// syntaxReason says what is wrong with m's data without the decoder's words, which quote it.
func (m *members) syntaxReason(err error) error {
	at := "somewhere"
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = fmt.Sprintf("at byte %d", syntax.ByteOffset+1)
	}
	switch {
	case m.open && errors.Is(err, io.ErrUnexpectedEOF):
		return reason("the JSON ends too early, " + at)
	case !utf8.Valid(m.data):
		return reason("not valid UTF-8")
	case !m.open:
		return reason("expected a JSON object")
	case m.closed:
		return reason("something follows the JSON object, " + at)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return reason("an object has the same name twice, " + at)
	}
	return reason("not valid JSON " + at)
}
