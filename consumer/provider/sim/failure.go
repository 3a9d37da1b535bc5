package sim

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// failure is an answer that is none.
type failure struct {
	status             int
	typ, code, message string
	// body, when set, is sent as it is: for the dialects that are not OpenAI's.
	body string
	// after, when positive, is sent as Retry-After in whole seconds, rounded up.
	after time.Duration
	// atDoor marks a refusal by limits, before any work; it counts as refused, not as failed.
	atDoor bool
}

// seconds is what Retry-After tells; a client that waits so long is not early.
func (f *failure) seconds() int { return int(math.Ceil(f.after.Seconds())) }

// write sends f. model is the JSON string of the request, for the messages that repeat it.
func (f *failure) write(w writer, model []byte) {
	if f.after > 0 {
		w.set("Retry-After", strconv.Itoa(f.seconds()))
	}
	w.json(f.status, f.text(model))
}

func (f *failure) text(model []byte) []byte {
	if f.body != "" {
		return []byte(f.body)
	}
	var e struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    *string `json:"code"`
		} `json:"error"`
	}
	e.Error.Message, e.Error.Type = f.message, f.typ
	if f.code != "" {
		e.Error.Code = &f.code
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	// What is between the quotes is escaped already.
	if len(model) >= 2 {
		model = model[1 : len(model)-1]
	}
	return bytes.ReplaceAll(b, []byte("{model}"), model)
}

// invalid is a request's own fault.
func invalid(status int, code, message string) *failure {
	return &failure{status: status, typ: "invalid_request_error", code: code, message: message}
}

// plain is what a provider says with nothing but a status.
func plain(status int) failure {
	switch {
	case status == 401:
		return named("invalid_api_key")
	case status == 402:
		return named("billing")
	case status == 403:
		return named("permission")
	case status == 404:
		return named("model_not_found")
	case status == 412:
		return named("suspended")
	case status == 429:
		return failure{
			status: status, typ: "requests", code: "rate_limit_exceeded",
			message: "Rate limit reached for {model} on requests per min (RPM).",
		}
	case status == 503:
		return named("server_is_overloaded")
	case status == 529:
		return named("overloaded_error")
	case status >= 500:
		return failure{
			status: status, typ: "server_error",
			message: "The server had an error while processing your request. Sorry about that!",
		}
	default:
		return *invalid(status, "", "The request is not valid (simulated).")
	}
}

// capacity is the refusal of a full provider, in the form of the status.
func capacity(status int) *failure {
	f := failure{
		status: 429, typ: "too_many_requests", code: "too_many_requests",
		message: "System is experiencing high demand and cannot process your request.",
	}
	if status == 503 || status == 529 {
		f = plain(status)
	}
	f.atDoor = true
	return &f
}
