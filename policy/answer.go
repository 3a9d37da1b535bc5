package policy

import (
	"net/textproto"
	"strconv"

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

// answerReader also keeps what goes over the reason that the answer itself gives for its end.
type answerReader struct {
	Answer
	refused    bool
	incomplete string
}

// ReadAnswer reads the members of an OpenAI or Anthropic answer that nightshift counts. It is
// on the path of every answer and skips the text.
func ReadAnswer(body []byte) Answer {
	var a answerReader
	members(decoder(body), a.note)
	switch {
	case a.refused:
		a.FinishReason = finishRefusal
	case a.incomplete != "":
		a.FinishReason = a.incomplete
	}
	return a.Answer
}

// members reads an object and hands each member's name, in quotes, to note, which must read
// the value and says whether it could. It stops at the first fault.
func members(d *jsontext.Decoder, note func(name string, d *jsontext.Decoder) bool) bool {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil || !note(string(name), d) {
			return false
		}
	}
	_, err := d.ReadToken()
	return err == nil
}

func (a *answerReader) note(name string, d *jsontext.Decoder) bool {
	switch kind := d.PeekKind(); {
	case name == `"model"` && kind == '"':
		return readString(d, &a.Model)
	case (name == `"stop_reason"` || name == `"status"`) && kind == '"':
		return readString(d, &a.FinishReason)
	case name == `"choices"` && kind == '[':
		return a.choices(d)
	case name == `"usage"` && kind == '{':
		return members(d, a.usage)
	case name == `"incomplete_details"` && kind == '{':
		return members(d, a.details)
	}
	return d.SkipValue() == nil
}

// choices reads the finish reason of the first choice.
func (a *answerReader) choices(d *jsontext.Decoder) bool {
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	if d.PeekKind() == '{' && !members(d, a.choice) {
		return false
	}
	for d.PeekKind() != ']' {
		if d.SkipValue() != nil {
			return false
		}
	}
	_, err := d.ReadToken()
	return err == nil
}

// choice reads why the answer ended. OpenAI tells a refusal by a member of the message alone.
func (a *answerReader) choice(name string, d *jsontext.Decoder) bool {
	switch kind := d.PeekKind(); {
	case name == `"finish_reason"` && kind == '"':
		return readString(d, &a.FinishReason)
	case name == `"message"` && kind == '{':
		return members(d, a.message)
	}
	return d.SkipValue() == nil
}

func (a *answerReader) message(name string, d *jsontext.Decoder) bool {
	text := ""
	if name != `"refusal"` || d.PeekKind() != '"' {
		return d.SkipValue() == nil
	}
	ok := readString(d, &text)
	a.refused = a.refused || text != ""
	return ok
}

// details reads what the Responses API says beside the status "incomplete".
func (a *answerReader) details(name string, d *jsontext.Decoder) bool {
	if name == `"reason"` && d.PeekKind() == '"' {
		return readString(d, &a.incomplete)
	}
	return d.SkipValue() == nil
}

func (a *answerReader) usage(name string, d *jsontext.Decoder) bool {
	v, err := d.ReadValue()
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(string(v))
	if err != nil { // details and nulls
		return true
	}
	switch name {
	case `"prompt_tokens"`, `"input_tokens"`:
		a.InputTokens = n
	case `"completion_tokens"`, `"output_tokens"`:
		a.OutputTokens = n
	}
	return true
}

func readString(d *jsontext.Decoder, s *string) bool {
	t, err := d.ReadToken()
	if err != nil {
		return false
	}
	*s = t.String()
	return true
}

// RequestID is the provider's own name for a call, for its support; empty when it gave none.
func RequestID(h textproto.MIMEHeader) string {
	return requestID(Reply{Header: h}, "")
}

// RequestModel is the model that a request names; "" where it names none.
func RequestModel(body []byte) (model string) {
	members(decoder(body), func(name string, d *jsontext.Decoder) bool {
		if name == `"model"` && d.PeekKind() == '"' {
			return readString(d, &model)
		}
		return d.SkipValue() == nil
	})
	return model
}

// finishRefusal is the reason of an answer in which the model itself refuses.
const finishRefusal = "refusal"

// Ending is how an answer came to its end.
type Ending uint8

// The endings.
const (
	// Whole is an answer that says all it had to.
	Whole Ending = iota
	// Cut is one that reached the limit of its length; more tokens may bring it to its end.
	Cut
	// Withheld is one that a content policy cut or the model refused to give; more tokens help nothing.
	Withheld
)

// Ended tells how the answer came to its end, from OpenAI's reasons, those of its Responses API and
// Anthropic's. A reason that is none of these is one of a whole answer.
func (a Answer) Ended() Ending {
	switch a.FinishReason {
	case "length", "max_tokens", "max_output_tokens", "incomplete", "model_context_window_exceeded":
		return Cut
	case "content_filter", finishRefusal:
		return Withheld
	}
	return Whole
}

// TruncatedFault is the fault of an answer that its queue does not want as it ended.
func TruncatedFault(r Reply, a Answer) *Fault {
	return &Fault{
		Class: Truncated, Status: r.Status, Code: word([]string{a.FinishReason}), RequestID: RequestID(r.Header),
		Rule: "on_truncated",
	}
}
