package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"nightshift/policy"
)

// parseReply reads a reply as JSON or as curl -i prints it. Its errors name places and fields
// and never what stands there, as that may be a prompt.
func parseReply(text []byte) (policy.Reply, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	start := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(start) == 0:
		return policy.Reply{}, errors.New("it is empty")
	case start[0] == '{':
		return parseJSONReply(start)
	case bytes.HasPrefix(start, []byte("HTTP/")):
		return parseCurlReply(text, len(text)-len(start))
	}
	return policy.Reply{}, errors.New("it is neither JSON nor the output of curl -i")
}

func parseJSONReply(text []byte) (r policy.Reply, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return r, jsonError(text, err)
	}
	if err := checkFields(fields); err != nil {
		return r, err
	}
	if raw, ok := fields["kind"]; ok {
		if err := checkKind(raw); err != nil {
			return r, err
		}
	}
	if err := json.Unmarshal(fields["status"], &r.Status); err != nil || r.Status < 100 || r.Status > 999 {
		return r, errors.New("field status: expected an HTTP status such as 429")
	}
	if r.Header, err = jsonHeaders(fields["headers"]); err != nil {
		return r, err
	}
	r.Body, err = jsonBody(fields["body"])
	return r, err
}

// jsonError names the line of a mistake.
func jsonError(text []byte, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := text[:min(int(syntax.Offset), len(text))]
		return fmt.Errorf("line %d: no valid JSON", 1+bytes.Count(at, []byte("\n")))
	}
	return errors.New("no valid JSON")
}

func checkFields(fields map[string]json.RawMessage) error {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch name {
		case "kind", "status", "headers", "body":
		default:
			unknown = append(unknown, fmt.Sprintf("%q", shorten(name)))
		}
	}
	switch {
	case len(unknown) > 0:
		return fmt.Errorf("unknown field %s: known are kind, status, headers, body", strings.Join(unknown, ", "))
	case fields["status"] == nil:
		return errors.New("field status is missing")
	}
	return nil
}

// shorten keeps a name to the length names have: a prompt may stand in the place of one.
func shorten(name string) string {
	if len(name) > 40 {
		return strings.ToValidUTF8(name[:40], "") + "…"
	}
	return name
}

func checkKind(raw json.RawMessage) error {
	kinds := []string{"openai", "anthropic", "saaslitellm", "sim"}
	var kind string
	if json.Unmarshal(raw, &kind) != nil || !slices.Contains(kinds, kind) {
		return fmt.Errorf("field kind: expected one of %s", strings.Join(kinds, ", "))
	}
	return nil
}

// jsonHeaders reads headers whose values are strings or lists of strings.
func jsonHeaders(raw json.RawMessage) (textproto.MIMEHeader, error) {
	h := textproto.MIMEHeader{}
	if raw == nil {
		return h, nil
	}
	var values map[string]json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		return nil, errors.New("field headers: expected an object of names and values")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var one string
		var many []string
		switch {
		case string(values[name]) == "null":
		case json.Unmarshal(values[name], &one) == nil:
			h.Add(name, one)
			continue
		case json.Unmarshal(values[name], &many) == nil:
			for _, v := range many {
				h.Add(name, v)
			}
			continue
		}
		return nil, fmt.Errorf("header %q: expected a string or a list of strings", shorten(name))
	}
	return h, nil
}

// jsonBody is the text of a string, nothing for a null, and any other value as it stands: Gemini
// answers with a list.
func jsonBody(raw json.RawMessage) ([]byte, error) {
	var text string
	switch {
	case raw == nil || string(raw) == "null":
		return nil, nil
	case raw[0] != '"':
		return raw, nil
	case json.Unmarshal(raw, &text) != nil:
		return nil, errors.New("field body: no valid string")
	}
	return []byte(text), nil
}
