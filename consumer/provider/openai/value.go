package openai

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// value is a JSON value that grows by deltas: texts and lists are added to, objects member by
// member, and all else is replaced. So members that are new to it are put together too.
type value struct {
	kind    jsontext.Kind  // 0 before anything came
	raw     jsontext.Value // of what is only replaced
	text    []byte         // without its quotes; not nil for a text that has any
	names   []string       // of an object, in the order they came
	members map[string]*value
	list    []*value
}

// add takes a delta of the member of that name.
func (v *value) add(name string, delta jsontext.Value) error {
	switch kind := delta.Kind(); {
	case kind == 'n' && v.kind != 0: // nothing more of it
		return nil
	case kind == '"' && v.kind == '"' && !whole(name):
		v.grow(delta)
		return nil
	case kind == '"' && v.kind == '[':
		v.say(delta)
		return nil
	case kind == '[' && v.kind == '"':
		said := quote(nil, v.text)
		*v = value{kind: '['}
		v.say(said)
		return elements(delta, v.element)
	case kind == '"' && v.kind == '"' && len(delta) == len(`""`):
		return nil
	case kind == '{':
		if v.kind != kind {
			*v = value{kind: kind}
		}
		return members(delta, func(name string, d jsontext.Value) error { return v.member(name).add(name, d) })
	case kind == '[':
		if v.kind != kind {
			*v = value{kind: kind}
		}
		return elements(delta, v.element)
	}
	v.replace(delta)
	return nil
}

// whole are the texts that come in one piece; some servers repeat them with every chunk.
func whole(name string) bool {
	switch name {
	case "id", "type", "role", "name", "object", "finish_reason", "stop_reason", "format":
		return true
	}
	return false
}

// replace makes it what came.
func (v *value) replace(delta jsontext.Value) {
	*v = value{kind: delta.Kind(), raw: delta.Clone()}
	if v.kind == '"' {
		v.grow(delta)
	}
}

// grow adds a text. Half a character, the only error there is, becomes a whole one.
func (v *value) grow(delta jsontext.Value) {
	if text, _ := jsontext.AppendUnquote(v.text, delta); len(text) > 0 {
		v.text = text
	}
}

// say adds a text to a list of parts, as Mistral's content is once it has been thinking.
func (v *value) say(delta jsontext.Value) {
	if n := len(v.list); n == 0 || string(v.list[n-1].of("type").text) != "text" {
		part := &value{}
		part.member("type").replace([]byte(`"text"`))
		v.list = append(v.list, part)
	}
	text := v.list[len(v.list)-1].member("text")
	text.kind = '"'
	text.grow(delta)
}

// element takes one of a list: by its index it belongs to one that is there, else it is new.
// Some servers give every tool call index 0; a new id makes a new one then.
func (v *value) element(delta jsontext.Value) error {
	var index, id jsontext.Value
	if delta.Kind() == '{' {
		_ = members(delta, func(name string, d jsontext.Value) error {
			switch name {
			case "index":
				index = d.Clone()
			case "id":
				id = d.Clone()
			}
			return nil
		})
	}
	for _, e := range slices.Backward(v.list) {
		if index != nil && bytes.Equal(e.of("index").raw, index) {
			known := e.of("id").raw
			if len(id) > len(`""`) && id.Kind() == '"' && len(known) > len(`""`) && !bytes.Equal(known, id) {
				break
			}
			return e.add("", delta)
		}
	}
	e := &value{}
	v.list = append(v.list, e)
	return e.add("", delta)
}

// member gives a member, which is made if need be.
func (v *value) member(name string) *value {
	if m := v.members[name]; m != nil {
		return m
	}
	if v.members == nil {
		v.kind, v.raw, v.members = '{', nil, map[string]*value{}
	}
	m := &value{}
	v.members[name] = m
	v.names = append(v.names, name)
	return m
}

// of gives a member to look at; an empty value if there is none.
func (v *value) of(name string) *value {
	if m := v.members[name]; m != nil {
		return m
	}
	return &value{}
}

func (v *value) remove(name string) {
	delete(v.members, name)
	v.names = slices.DeleteFunc(v.names, func(n string) bool { return n == name })
}

// append writes it as JSON.
func (v *value) append(b []byte) []byte {
	switch {
	case v.kind == '"':
		return quote(b, v.text)
	case v.raw != nil:
		return append(b, v.raw...)
	case v.kind == '{':
		b = append(b, '{')
		for i, name := range v.names {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.members[name].append(append(quote(b, []byte(name)), ':'))
		}
		return append(b, '}')
	case v.kind == '[':
		b = append(b, '[')
		for i, e := range v.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.append(b)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

// quote writes a text, whose bytes need not be whole characters.
func quote(b, text []byte) []byte {
	b, _ = jsontext.AppendQuote(b, text) // the error is of bytes that it replaced
	return b
}

func decoder(v []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// members goes through an object's, in order. A value is valid during the call only.
func members(object jsontext.Value, each func(name string, v jsontext.Value) error) error {
	d := decoder(object)
	if _, err := d.ReadToken(); err != nil {
		return errChunk
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return errChunk
		}
		name := t.String()
		v, err := d.ReadValue()
		if err != nil {
			return errChunk
		}
		if err := each(name, v); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return errChunk
	}
	return nil
}

// elements goes through a list's, in order. A value is valid during the call only.
func elements(list jsontext.Value, each func(jsontext.Value) error) error {
	d := decoder(list)
	if _, err := d.ReadToken(); err != nil {
		return errChunk
	}
	for k := d.PeekKind(); k != ']' && k != 0; k = d.PeekKind() {
		v, err := d.ReadValue()
		if err != nil {
			return errChunk
		}
		if err := each(v); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return errChunk
	}
	return nil
}
