package chat

import (
	"errors"
	"net/http"
	"net/textproto"

	"nightshift/policy"
)

// Refusal is why a request cannot be put to a provider: a fault of the job, found without a
// call.
type Refusal struct {
	// Param is the member at fault, such as messages[0].content.
	Param string
	// Why goes on from the member's name: "is not supported by Anthropic".
	Why string
}

// Error names the member and the reason, and holds nothing of the request.
func (r *Refusal) Error() string { return r.Param + " " + r.Why }

// Refuse is the reply that says so: the one OpenAI gives to a bad request. An error that is no
// Refusal becomes one without a member.
func Refuse(err error) policy.Reply {
	why := &Refusal{}
	if !errors.As(err, &why) {
		why = &Refusal{Param: "body", Why: "cannot be translated"}
	}
	type fault struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Param   string `json:"param"`
		Code    string `json:"code"`
	}
	body, err := Encode(map[string]fault{"error": {
		Message: "nightshift made no call: " + why.Error(), Type: "invalid_request_error",
		Param: why.Param, Code: "unsupported_parameter",
	}})
	return policy.Reply{
		Status: http.StatusBadRequest, Body: body, Err: err,
		Header: textproto.MIMEHeader{"Content-Type": {"application/json"}},
	}
}
