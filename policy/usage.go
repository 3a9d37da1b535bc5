package policy

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Usage is what a call used, in tokens. Input counts all of it, what the provider's cache read
// (Cached) and wrote (CacheWrites) among it.
type Usage struct {
	Input, Cached, CacheWrites, Output int64
}

// Tokens are those of prompt and answer together.
func (u Usage) Tokens() int64 { return u.Input + u.Output }

// ReadUsage reads what a reply says of the tokens it used; false when it does not say.
func ReadUsage(body []byte) (u Usage, known bool) {
	members(decoder(body), func(name string, d *jsontext.Decoder) bool {
		if name == `"usage"` && d.PeekKind() == '{' {
			known = true
			return members(d, u.note)
		}
		return d.SkipValue() == nil
	})
	return u, known && u.Tokens() > 0
}

func (u *Usage) note(name string, d *jsontext.Decoder) bool {
	if strings.HasSuffix(name, `_tokens_details"`) && d.PeekKind() == '{' {
		return members(d, u.note)
	}
	return readTokens(d, map[string]*int64{
		`"prompt_tokens"`: &u.Input, `"input_tokens"`: &u.Input,
		`"completion_tokens"`: &u.Output, `"output_tokens"`: &u.Output,
		`"cached_tokens"`: &u.Cached, `"cache_creation_tokens"`: &u.CacheWrites,
	}[name])
}

// readTokens reads a count into n; what is no number, or nobody's, counts for nothing.
func readTokens(d *jsontext.Decoder, n *int64) bool {
	v, err := d.ReadValue()
	if err != nil {
		return false
	}
	if got, err := strconv.ParseFloat(string(v), 64); err == nil && n != nil {
		*n = int64(min(max(got, 0), maxTokens))
	}
	return true
}

// Request is what a request's body says of what it may cost.
type Request struct {
	Model string
	// MaxOutput is the longest answer it allows in tokens; 0 when it does not say.
	MaxOutput int64
	// Choices is how many answers it asks for, at least 1.
	Choices int64
}

// ReadRequest reads the members of a request's body that bound its cost.
func ReadRequest(body []byte) Request {
	r := Request{Choices: 1}
	members(decoder(body), func(name string, d *jsontext.Decoder) bool {
		var n int64
		switch name {
		case `"model"`:
			if d.PeekKind() == '"' {
				return readString(d, &r.Model)
			}
		case `"max_tokens"`, `"max_completion_tokens"`, `"max_output_tokens"`:
			ok := readTokens(d, &n)
			r.MaxOutput = max(r.MaxOutput, n)
			return ok
		case `"n"`, `"best_of"`:
			ok := readTokens(d, &n)
			r.Choices = max(r.Choices, n)
			return ok
		}
		return d.SkipValue() == nil
	})
	return r
}

// What a prompt may come to beyond its text: what the model's template adds, what the provider
// says of tools, and each picture, sound or file it points to (OpenAI's largest picture is below
// 50,000).
const (
	hiddenTokens = 256
	toolTokens   = 1024
	partTokens   = 50_000
)

// WorstUsage bounds what a call may use. A token of text is at least one byte of the request, so
// the bound holds for every tokenizer; it is some four times what a usual prompt uses, which is
// given back when the reply says so. longest is the model's longest answer in tokens, for a request
// that sets no limit of its own.
func WorstUsage(path string, body []byte, r Request, longest int) Usage {
	u := Usage{Input: int64(len(body)) + hiddenTokens}
	if bytes.Contains(body, []byte(`"tools"`)) || bytes.Contains(body, []byte(`"functions"`)) {
		u.Input += toolTokens
	}
	for _, part := range []string{`"image_url"`, `"input_image"`, `"input_audio"`, `"input_file"`, `"file"`} {
		u.Input += partTokens * int64(bytes.Count(body, []byte(part)))
	}
	if WritesText(path) {
		u.Output = r.MaxOutput
		if u.Output == 0 {
			u.Output = int64(longest)
			if longest == 0 {
				u.Output = DefaultMaxOutput
			}
		}
		u.Output *= min(r.Choices, 1000)
	}
	u.Input, u.Output = min(u.Input, maxTokens), min(u.Output, maxTokens)
	return u
}

// WritesText says whether an endpoint's answer is paid by its length.
func WritesText(path string) bool {
	return !strings.HasSuffix(path, "/embeddings") && !strings.HasSuffix(path, "/moderations")
}

// Charge says whether a reply was paid for, as far as it can be told.
type Charge uint8

// What a reply may cost.
const (
	// NoCharge: the provider refused the call, or it never got there.
	NoCharge Charge = iota
	// Charged for the usage that the reply names.
	Charged
	// MaybeCharged: the provider may have worked, and nothing says how much.
	MaybeCharged
)

// ReadCharge tells what a reply costs. Providers charge for no refusal; but a gateway's 502 or
// 504, a reply cut short and one that never came may stand for work that was done.
func ReadCharge(r *Reply) (Usage, Charge) {
	switch {
	case r.Status == 0 && neverSent(r.Err):
		return Usage{}, NoCharge
	case r.Status >= 200 && r.Status < 300 && r.Err == nil:
		if u, ok := ReadUsage(r.Body); ok {
			return u, Charged
		}
	case r.Status >= 300 && !gatewayFailed(r.Status):
		return Usage{}, NoCharge
	}
	return Usage{}, MaybeCharged
}

// gatewayFailed tells the statuses that say nothing of the provider behind a gateway.
func gatewayFailed(status int) bool {
	return status == 408 || status == 499 || status == 502 || status == 504 || status >= 520 && status != 529
}

// neverSent says whether a call failed before a byte of it left.
func neverSent(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	dial, ok := errors.AsType[*net.OpError](err)
	return ok && dial.Op == "dial"
}
