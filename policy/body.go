package policy

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// What is read of an error body. Some repeat the whole prompt, so the rest is left alone.
const (
	maxErrorBody = 64 << 10
	maxText      = 4 << 10
	maxCodes     = 32
)

// finding is what an error body says, whatever its shape.
type finding struct {
	codes     []string // error.code, inner codes, Gemini's status, reasons and quota ids, by depth
	types     []string
	message   string
	title     string // {"error": "text"}, which counts where there is no message
	loc       string // FastAPI's place of the mistake
	requestID string
	delay     time.Duration // Gemini's RetryInfo
}

// find reads an error body: any JSON shape of reference/providers.md, SSE, HTML or plain text.
func find(body []byte) finding {
	var f finding
	body = trim(body)
	if event := errorEvent(body); event != nil { // a stream may be long before its error
		body = trim(event)
	}
	body = body[:min(len(body), maxErrorBody)]
	switch {
	case len(body) == 0:
		return f
	case body[0] == '<':
		f.message = htmlTitle(body)
		return f
	case body[0] == '{' || body[0] == '[' || body[0] == '"':
		f.read(decoder(body), "detail")
	}
	if f.message == "" {
		f.message = f.title
	}
	if f.message == "" && len(f.codes)+len(f.types) == 0 { // text, or JSON cut short
		f.message = text(body)
	}
	return f
}

// decoder reads what real servers send: doubled names and broken UTF-8 are no reason to look away.
func decoder(body []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(body),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// read takes in one value called name. It ends at the first mistake and keeps what it has:
// a body cut short still tells its code.
func (f *finding) read(d *jsontext.Decoder, name string) bool {
	switch d.PeekKind() {
	case '{':
		return f.readObject(d)
	case '[':
		return f.readArray(d, name)
	default:
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if k := t.Kind(); k == '"' || k == '0' {
			f.note(name, t.String())
		}
		return true
	}
}

func (f *finding) readArray(d *jsontext.Decoder, name string) bool {
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() != ']' {
		if !f.read(d, name) {
			return false
		}
	}
	_, err := d.ReadToken()
	return err == nil
}

func (f *finding) readObject(d *jsontext.Decoder) bool {
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if name := strings.ToLower(t.String()); tells(name) {
			if !f.read(d, name) {
				return false
			}
		} else if d.SkipValue() != nil {
			return false
		}
	}
	_, err := d.ReadToken()
	return err == nil
}

// tells reports whether a field may hold what went wrong, or lead there. All else is passed
// over: FastAPI puts the prompt in "input", and a prompt may look like an error.
func tells(name string) bool {
	switch name {
	case "error", "errors", "detail", "details", "innererror", "violations", "response",
		"message", "msg", "loc", "title", "code", "error_code", "status", "reason", "quotaid",
		"type", "__type", "retrydelay", "request_id":
		return true
	}
	return false
}

// note keeps one value. The outermost comes first and wins, as it is the one documented.
func (f *finding) note(name, value string) {
	switch name {
	case "message", "msg", "detail":
		if f.message == "" && value != "" {
			f.message = text([]byte(f.loc + value))
		}
	case "error", "title", "errors", "details":
		if f.title == "" {
			f.title = text([]byte(value))
		}
		f.codes = add(f.codes, value)
	case "loc":
		if f.message == "" && len(f.loc) < maxWords {
			f.loc = strings.TrimSuffix(f.loc, ": ") + "." + value + ": "
			f.loc = strings.TrimPrefix(f.loc, ".")
		}
	case "code", "error_code", "status", "reason", "quotaid":
		f.codes = add(f.codes, value)
	case "type", "__type":
		f.types = add(f.types, value)
	case "retrydelay":
		d, _ := span(value)
		f.delay = max(f.delay, d)
	case "request_id":
		f.requestID = value
	}
}

// add appends a word that may be a code; sentences, and words that say no more than
// "this is an error", are none.
func add(to []string, s string) []string {
	if len(to) >= maxCodes || len(s) > 128 || s == "" || strings.ContainsAny(s, " \n") {
		return to
	}
	switch strings.ToLower(s) {
	case "error", "failed", "none", "null":
		return to
	}
	return append(to, s)
}

func text(b []byte) string { return strings.TrimSpace(cut(string(b[:min(len(b), maxText)]), maxText)) }

func trim(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
}

//nolint:gochecknoglobals // compiled once, never changed
var titleTag = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?is)<(?:title|h1)[^>]*>(.{0,300}?)</`)
})

// htmlTitle is all that is wanted of a proxy's page.
func htmlTitle(body []byte) string {
	if m := titleTag().FindSubmatch(body); m != nil {
		return text(m[1])
	}
	return ""
}
