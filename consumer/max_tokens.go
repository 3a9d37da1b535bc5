package consumer

import (
	"bytes"
	"strconv"
	"strings"

	"nightshift/policy"
)

// boundOutput keeps the length of the answer within what the queue allows: a request that sets no
// limit gets the queue's, and one that asks for more than the ceiling is refused. It is not lowered:
// its author would take a cut answer for a whole one.
func (q *queue) boundOutput(call *policy.Call) *policy.Fault {
	if q.MaxTokens == 0 && q.MaxTokensCeiling == 0 || !policy.WritesText(call.Path) {
		return nil
	}
	request := policy.ReadRequest(call.Body)
	switch {
	case q.MaxTokensCeiling > 0 && request.MaxOutput > int64(q.MaxTokensCeiling):
		return &policy.Fault{
			Class: policy.BadRequest, Rule: "max_tokens ceiling",
			Message: "asks for " + strconv.FormatInt(request.MaxOutput, 10) + " tokens of output; the queue's max_tokens_ceiling is " +
				strconv.Itoa(q.MaxTokensCeiling),
		}
	case q.MaxTokens > 0 && request.MaxOutput == 0:
		call.Body = withMember(call.Body, q.limitName(call.Path, request.Model), q.MaxTokens)
	}
	return nil
}

// limitName is the member that limits an answer: the endpoint's, or the model family's. OpenAI's
// reasoning models refuse max_tokens, and most compatible providers know nothing else.
func (q *queue) limitName(path, model string) string {
	if strings.HasSuffix(path, "/responses") {
		return "max_output_tokens"
	}
	name := q.model
	if name == "" {
		name = model
	}
	for _, family := range []string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(name, family) && strings.HasSuffix(path, "/chat/completions") {
			return "max_completion_tokens"
		}
	}
	return "max_tokens"
}

// withMember puts a member at the beginning of a JSON object.
func withMember(object []byte, name string, value int) []byte {
	at := bytes.IndexByte(object, '{') + 1
	rest := object[at:]
	b := make([]byte, 0, len(object)+len(name)+16)
	b = append(b, object[:at]...)
	b = strconv.AppendInt(append(append(append(b, '"'), name...), `":`...), int64(value), 10)
	if trimmed := bytes.TrimLeft(rest, " \t\r\n"); len(trimmed) > 0 && trimmed[0] != '}' {
		b = append(b, ',')
	}
	return append(b, rest...)
}
