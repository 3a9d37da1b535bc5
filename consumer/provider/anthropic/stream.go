package anthropic

import (
	"errors"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/consumer/provider/internal/sse"
)

// object is a JSON object of which only some members matter here.
type object map[string]jsontext.Value

// stream puts the events of a Messages stream together to the answer that would have come
// without it.
type stream struct {
	message object
	usage   object
	blocks  map[int]*blockInFlight
	fault   []byte
	stopped bool
}

// blockInFlight is a block and what its deltas add to it, by member.
type blockInFlight struct {
	object
	grown map[string][]byte
	input []byte
	lists map[string][]jsontext.Value
}

type event struct {
	Type    string `json:"type"`
	Message object `json:"message"`
	Index   int    `json:"index"`
	Block   object `json:"content_block"`
	Delta   object `json:"delta"`
	Usage   object `json:"usage"`
}

// errEvent is all that is said of an event that cannot be read: its text stays here.
var errEvent = errors.New("an event is not Anthropic's")

// Add takes one event. Kinds that are new to it change nothing, as Anthropic asks.
func (s *stream) Add(e sse.Event) (done bool, err error) {
	if s.fault = chat.Fault(e); s.fault != nil {
		return true, nil
	}
	var v event
	if chat.Decode(e.Data, &v) != nil {
		return false, errEvent
	}
	switch {
	case v.Type == "message_start":
		s.message, s.usage, s.blocks = v.Message, object{}, map[int]*blockInFlight{}
		return false, s.count(v.Message["usage"])
	case s.message == nil: // a ping, or the start was lost
		return false, nil
	case v.Type == "content_block_start" && v.Block != nil:
		s.blocks[v.Index] = &blockInFlight{object: v.Block, grown: map[string][]byte{}, lists: map[string][]jsontext.Value{}}
	case v.Type == "content_block_delta":
		if b := s.blocks[v.Index]; b == nil || b.grow(v.Delta) != nil {
			return false, errEvent
		}
	case v.Type == "message_delta":
		maps.Copy(s.message, v.Delta)
		maps.DeleteFunc(v.Usage, func(_ string, n jsontext.Value) bool { return chat.Given(n) == nil })
		maps.Copy(s.usage, v.Usage)
	case v.Type == "message_stop":
		s.stopped = true
	}
	return s.stopped, nil
}

// count takes over what the message's start says of its usage.
func (s *stream) count(usage jsontext.Value) error {
	if chat.Given(usage) != nil && chat.Decode(usage, &s.usage) != nil {
		return errEvent
	}
	return nil
}

// grow adds a delta. All kinds of them have their addition in a member named like the block's,
// but for a tool's input, which comes as pieces of JSON, and citations, which come one by one.
func (b *blockInFlight) grow(delta object) error {
	for name, v := range delta {
		switch {
		case name == "type":
		case name == "citation":
			b.lists["citations"] = append(b.lists["citations"], v)
		case v.Kind() != '"':
			b.object[name] = v
		default:
			var text string
			if err := chat.Decode(v, &text); err != nil {
				return err
			}
			if name == "partial_json" {
				b.input = append(b.input, text...)
				continue
			}
			b.grown[name] = append(b.grown[name], text...)
		}
	}
	return nil
}

// Whole says whether all has come but the last event.
func (s *stream) Whole() bool {
	return s.stopped || s.message != nil && chat.Given(s.message["stop_reason"]) != nil
}

// Body is the whole answer, or the error that came instead.
func (s *stream) Body() ([]byte, error) {
	if s.fault != nil {
		return s.fault, nil
	}
	if s.message == nil { // it stopped before it started; policy calls it no answer
		return []byte("{}"), nil
	}
	blocks := []object{}
	for _, i := range slices.Sorted(maps.Keys(s.blocks)) {
		b, err := s.blocks[i].whole()
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	var err error
	if s.message["content"], err = chat.Encode(blocks); err != nil {
		return nil, err
	}
	if len(s.usage) > 0 {
		if s.message["usage"], err = chat.Encode(s.usage); err != nil {
			return nil, err
		}
	}
	return chat.Encode(s.message)
}

// whole puts what has grown behind what the block began with. Input that max_tokens cut short
// is no JSON; it is kept as a string.
func (b *blockInFlight) whole() (object, error) {
	for name, more := range b.grown {
		var begun string
		if v := chat.Given(b.object[name]); v != nil && chat.Decode(v, &begun) != nil {
			return nil, errEvent
		}
		b.object[name] = chat.String(name, begun+string(more)).Value
	}
	if input := jsontext.Value(b.input); len(input) > 0 {
		if !input.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			input = chat.String("input", string(input)).Value
		}
		b.object["input"] = input
	}
	for name, list := range b.lists {
		v, err := chat.Encode(list)
		if err != nil {
			return nil, err
		}
		b.object[name] = v
	}
	return b.object, nil
}
