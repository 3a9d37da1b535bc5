package openai

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// setModel returns the request with another model, its other members byte for byte.
func setModel(body []byte, model string) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, fmt.Errorf("set model: the body is no JSON object")
	}
	out := append([]byte(nil), `{"model":`...)
	quoted, err := jsontext.AppendQuote(nil, model)
	if err != nil {
		return nil, fmt.Errorf("set model: %w", err)
	}
	out = append(out, quoted...)
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("set model: %w", err)
		}
		name = name.Clone()
		value, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("set model: %w", err)
		}
		if plain, err := jsontext.AppendUnquote(nil, name); err == nil && string(plain) == "model" {
			continue
		}
		out = append(append(append(append(out, ','), name...), ':'), value...)
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace
		return nil, fmt.Errorf("set model: %w", err)
	}
	return append(out, '}'), nil
}
