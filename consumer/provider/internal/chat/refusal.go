package chat

import (
	"errors"
	"net/http"
	"net/textproto"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

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

// Ask is a member of a request that a provider may have nothing like.
type Ask struct {
	Name  string
	Value jsontext.Value
	// Nothing lists the values that ask for nothing, without white space.
	Nothing []string
}

// Unsupported refuses the first member that asks a provider for what it does not do.
func Unsupported(provider string, asks []Ask) error {
	for _, m := range asks {
		if v := Given(m.Value); v != nil && !slices.Contains(m.Nothing, Compact(v)) {
			return &Refusal{Param: m.Name, Why: "is not supported by " + provider + " with this value"}
		}
	}
	return nil
}

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
