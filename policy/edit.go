package policy

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Edit is how a job's request is changed before it is sent, where its queue allows that. The zero
// Edit changes nothing.
type Edit struct {
	// Dropped is how many of a chat's oldest messages are left out, system messages not counted;
	// Shrinks is how often it took more to be.
	Dropped int `json:"dropped,omitempty"`
	Shrinks int `json:"shrinks,omitempty"`
	// MaxTokens is how many tokens the answer may have, 0 for what the request says; Raises is
	// how often that was raised.
	MaxTokens int `json:"max_tokens,omitempty"`
	Raises    int `json:"raises,omitempty"`
}

// Apply changes the body. All that the edit does not name keeps its bytes.
func (e Edit) Apply(body []byte) []byte {
	if e.Dropped > 0 {
		body = e.slide(body)
	}
	if e.MaxTokens > 0 {
		body = e.raise(body)
	}
	return body
}

// slide leaves the oldest messages out.
func (e Edit) slide(body []byte) []byte {
	c, ok := readChat(body)
	if !ok {
		return body
	}
	out := slices.Clone(body[:c.from])
	for left, first := e.Dropped, true; len(c.messages) > 0; c.messages = c.messages[1:] {
		m := c.messages[0]
		if !m.system && left > 0 {
			left--
			continue
		}
		if !first {
			out = append(out, ',')
		}
		out, first = append(out, body[m.from:m.to]...), false
	}
	return append(out, body[c.to:]...)
}

// maxRaise bounds, where no ceiling is set, by how much the limit of an answer is raised.
const maxRaise = 4

// Longer is the edit with which an answer that was cut short may get to its end: the limit the
// request has, under whichever of its names, is doubled up to the ceiling in tokens, by default
// four times what the request says. ok is false when it is there already, and for a request that
// sets no limit: its answer was as long as the model's can be.
func (e Edit) Longer(body []byte, ceiling int) (next Edit, ok bool) {
	own := outputMax(body)
	if own <= 0 {
		return e, false
	}
	now := max(own, e.MaxTokens)
	if ceiling <= 0 {
		ceiling = maxRaise * own
	}
	next = e
	next.MaxTokens = min(2*now, ceiling)
	next.Raises++
	return next, next.MaxTokens > now
}

// raise writes the limit wherever the body has one.
func (e Edit) raise(body []byte) []byte {
	type place struct{ from, to int }
	var places []place
	whole := members(decoder(body), func(name string, d *jsontext.Decoder) bool {
		v, err := d.ReadValue()
		if err == nil && isOutputMax(name) && v.Kind() == '0' {
			end := int(d.InputOffset())
			places = append(places, place{end - len(v), end})
		}
		return err == nil
	})
	if !whole {
		return body
	}
	for _, p := range slices.Backward(places) { // from the end, so that the places stay true
		body = slices.Concat(body[:p.from], strconv.AppendInt(nil, int64(e.MaxTokens), 10), body[p.to:])
	}
	return body
}

func isOutputMax(name string) bool {
	return name == `"max_tokens"` || name == `"max_completion_tokens"` || name == `"max_output_tokens"`
}
