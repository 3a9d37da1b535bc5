package consumer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one of a JSON object's, its value as it was written.
type member struct {
	name  string
	value jsontext.Value
}

// errNoObject never quotes the text, which may be a prompt.
var errNoObject = errors.New("not a JSON object")

// objectOf reads the members of an object in their order.
func objectOf(v jsontext.Value) ([]member, error) {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if t, err := d.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginObject {
		return nil, errNoObject
	}
	var all []member
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadToken()
		if err != nil {
			return nil, errNoObject
		}
		text := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, errNoObject
		}
		all = append(all, member{text, value.Clone()})
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, errNoObject
	}
	return all, nil
}

// objectWith writes an object with these members.
func objectWith(all []member) jsontext.Value {
	b := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(appendString(b, m.name), ':'), m.value...)
	}
	return append(b, '}')
}

// MergePatch applies a JSON merge patch (RFC 7396): members of the patch replace those of the
// target, null removes one, objects are merged and everything else is replaced whole. What the
// patch does not name keeps its order and its very text, so that no number loses a digit.
func MergePatch(target, patch jsontext.Value) (jsontext.Value, error) {
	if !patch.IsValid() {
		return nil, errors.New("the patch is not valid JSON")
	}
	return merge(target, patch), nil
}

func merge(target, patch jsontext.Value) jsontext.Value {
	changes, err := objectOf(patch)
	if err != nil { // a list, a text, a number: it takes the target's place
		return bytes.TrimSpace(patch)
	}
	all, err := objectOf(target)
	if err != nil {
		all = nil
	}
	for _, c := range changes {
		at := slices.IndexFunc(all, func(m member) bool { return m.name == c.name })
		switch {
		case c.value.Kind() == jsontext.KindNull && at >= 0:
			all = slices.Delete(all, at, at+1)
		case c.value.Kind() == jsontext.KindNull:
		case at >= 0:
			all[at].value = merge(all[at].value, c.value)
		default:
			all = append(all, member{c.name, merge(nil, c.value)})
		}
	}
	return objectWith(all)
}

// SetPatch is the merge patch of "path=value": a path such as body.max_tokens, and a value that
// is JSON or else a text.
func SetPatch(assignment string) (jsontext.Value, error) {
	path, value, ok := strings.Cut(assignment, "=")
	names := strings.Split(path, ".")
	if !ok || slices.Contains(names, "") {
		return nil, fmt.Errorf("%q: expected a path and a value such as body.max_tokens=512", path)
	}
	for _, name := range names {
		if strings.Trim(name, "0123456789") == "" {
			return nil, fmt.Errorf("%q: no element of a list can be set by itself", path)
		}
	}
	patch := jsontext.Value(strings.TrimSpace(value))
	if !patch.IsValid() {
		patch = appendString(nil, value)
	}
	for _, name := range slices.Backward(names) {
		patch = objectWith([]member{{name, patch}})
	}
	return patch, nil
}

// RequestBody is the body of a batch line; false for a message that is no line: a bare request
// body, or what cannot be decoded.
func RequestBody(message []byte) (jsontext.Value, bool) {
	all, err := objectOf(message)
	at := slices.IndexFunc(all, func(m member) bool { return m.name == "body" })
	if err != nil || at < 0 {
		return nil, false
	}
	return all[at].value, true
}

// ReplaceBody puts another body into a batch line; any other message is replaced by it.
func ReplaceBody(message []byte, body jsontext.Value) []byte {
	all, err := objectOf(message)
	at := slices.IndexFunc(all, func(m member) bool { return m.name == "body" })
	if err != nil || at < 0 {
		return body
	}
	all[at].value = body
	return objectWith(all)
}

// PatchRequest applies a merge patch of a batch line, such as {"body":{"max_tokens":512}}, to a
// message: a line, or a bare request body, which has no other member to change.
func PatchRequest(message []byte, patch jsontext.Value) ([]byte, error) {
	all, err := objectOf(message)
	if err != nil {
		return nil, fmt.Errorf("the message is %w", err)
	}
	line := slices.ContainsFunc(all, func(m member) bool { return m.name == "body" || m.name == "custom_id" })
	if line {
		return MergePatch(message, patch)
	}
	patched, err := MergePatch(objectWith([]member{{"body", message}}), patch)
	if err != nil {
		return nil, err
	}
	if all, err = objectOf(patched); err != nil || len(all) != 1 || all[0].name != "body" {
		return nil, errors.New("a bare request has only a body to change")
	}
	return all[0].value, nil
}
