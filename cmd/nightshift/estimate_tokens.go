package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tiktoken-go/tokenizer"
)

// tokenCounter counts the tokens of requests. A vocabulary takes a while to load and is loaded when
// the first model needs it.
type tokenCounter struct {
	codecs map[tokenizer.Encoding]tokenizer.Codec
}

// encodingOf is the vocabulary of a model: that of today's OpenAI models, unless it is one of the
// older ones. Other makers' models have vocabularies of much the same size.
func encodingOf(model string) tokenizer.Encoding {
	model = strings.TrimPrefix(model, "ft:")
	switch {
	case strings.HasPrefix(model, "gpt-4o"), strings.HasPrefix(model, "gpt-4.1"):
	case strings.HasPrefix(model, "gpt-4"), strings.HasPrefix(model, "gpt-3.5"), strings.HasPrefix(model, "gpt-35"),
		strings.HasPrefix(model, "text-embedding-"):
		return tokenizer.Cl100kBase
	}
	return tokenizer.O200kBase
}

func (t *tokenCounter) codec(model string) (tokenizer.Codec, error) {
	name := encodingOf(model)
	if c, ok := t.codecs[name]; ok {
		return c, nil
	}
	c, err := tokenizer.Get(name)
	if err != nil {
		return nil, fmt.Errorf("load vocabulary %s: %w", name, err)
	}
	if t.codecs == nil {
		t.codecs = map[tokenizer.Encoding]tokenizer.Codec{}
	}
	t.codecs[name] = c
	return c, nil
}

// What a chat has beside its texts, as OpenAI documents it: three tokens for each message, one
// for a name, and three that begin the answer.
const (
	messageTokens = 3
	nameTokens    = 1
	answerTokens  = 3
)

// request counts the tokens of a request's prompt, and the parts of it that are no text.
func (t *tokenCounter) request(model string, body []byte) (tokens, parts int, err error) {
	codec, err := t.codec(model)
	if err != nil {
		return 0, 0, err
	}
	p := &promptReader{codec: codec}
	err = eachMember(body, func(name string, value jsontext.Value) error {
		switch name {
		case "messages":
			p.tokens += answerTokens
			return p.value(name, value)
		case "prompt", "input", "instructions", "system", "tools", "functions", "response_format":
			return p.value(name, value)
		}
		return nil
	})
	return p.tokens, p.parts, err
}

// promptReader adds up the tokens of the texts in a prompt.
type promptReader struct {
	codec         tokenizer.Codec
	tokens, parts int
}

// value counts what is in a JSON value: every text, and each number of a list of tokens.
func (p *promptReader) value(name string, v jsontext.Value) error {
	switch v.Kind() {
	case '"':
		return p.text(v)
	case '0':
		p.tokens++
	case '{':
		return eachMember(v, func(name string, value jsontext.Value) error {
			switch name {
			case "role":
				p.tokens += messageTokens
			case "name":
				p.tokens += nameTokens
			case "image_url", "input_audio", "file", "file_id", "file_data":
				p.parts++
				return nil
			case "type", "detail", "id", "call_id", "tool_call_id", "cache_control":
				return nil
			}
			return p.value(name, value)
		})
	case '[':
		return eachElement(v, func(value jsontext.Value) error { return p.value(name, value) })
	default: // true, false and null
	}
	return nil
}

func (p *promptReader) text(quoted jsontext.Value) error {
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return err
	}
	n, err := p.codec.Count(string(text))
	p.tokens += n
	if err != nil {
		return errors.New("a text cannot be counted") // the library's words may quote it
	}
	return nil
}

func eachMember(object []byte, do func(name string, value jsontext.Value) error) error {
	return each(object, func(d *jsontext.Decoder) error {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		return do(name, value.Clone())
	})
}

func eachElement(array []byte, do func(value jsontext.Value) error) error {
	return each(array, func(d *jsontext.Decoder) error {
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		return do(value.Clone())
	})
}

// each goes through the members or elements of a JSON value.
func each(v []byte, do func(*jsontext.Decoder) error) error {
	d := jsontext.NewDecoder(strings.NewReader(string(v)))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for k := d.PeekKind(); k != '}' && k != ']'; k = d.PeekKind() {
		if k == 0 {
			return io.ErrUnexpectedEOF
		}
		if err := do(d); err != nil {
			return err
		}
	}
	return nil
}
