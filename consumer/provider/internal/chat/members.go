package chat

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Member is a member of a JSON object. One without a value is taken out.
type Member struct {
	Name  string
	Value jsontext.Value
}

// String is a member whose value is a string.
func String(name, value string) Member {
	quoted, err := jsontext.AppendQuote(nil, value)
	if err != nil { // half a character became a whole one
		quoted, _ = jsontext.AppendQuote(nil, string([]rune(value)))
	}
	return Member{name, quoted}
}

// Set returns the object with these members before its others, which keep their bytes and
// their order. Without any, the body is not looked at.
func Set(body []byte, members ...Member) ([]byte, error) {
	if len(members) == 0 {
		return body, nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, fmt.Errorf("set %s: the body is no JSON object", members[0].Name)
	}
	out := make([]byte, 0, len(body)+64*len(members))
	for _, m := range members {
		if m.Value != nil {
			name := String("", m.Name).Value
			out = append(append(append(append(out, ','), name...), ':'), m.Value...)
		}
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return nil, syntax(members, err)
		}
		name = name.Clone()
		value, err := d.ReadValue()
		if err != nil {
			return nil, syntax(members, err)
		}
		plain, err := jsontext.AppendUnquote(nil, name)
		if err == nil && slices.ContainsFunc(members, func(m Member) bool { return m.Name == string(plain) }) {
			continue
		}
		out = append(append(append(append(out, ','), name...), ':'), value...)
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace
		return nil, syntax(members, err)
	}
	return append(append([]byte{'{'}, bytes.TrimPrefix(out, []byte(","))...), '}'), nil
}

// syntax leaves out the decoder's words, which may quote the body.
func syntax(members []Member, _ error) error {
	return fmt.Errorf("set %s: the body is no valid JSON", members[0].Name)
}

// Get gives one member of an object, nil when there is none.
func Get(body []byte, name string) jsontext.Value {
	var members map[string]jsontext.Value
	if Decode(body, &members) != nil {
		return nil
	}
	return members[name]
}

// Given is the value, nil for null: a null member is one that is left out.
func Given(v jsontext.Value) jsontext.Value {
	if v.Kind() == 'n' {
		return nil
	}
	return v
}

// Compact takes the white space out of a value.
func Compact(v jsontext.Value) string {
	c := v.Clone()
	if c.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return string(v)
	}
	return string(c)
}
