// Package anthropic calls Anthropic's Messages API. A chat line is translated to it and its
// answer back to a chat.completion, so that the same line may go to any provider; a line for
// /v1/messages goes and comes back as it is. It judges nothing and tries nothing twice.
package anthropic

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/consumer/provider/internal/post"
	"nightshift/policy"
)

const (
	messagesPath   = "/v1/messages"
	defaultVersion = "2023-06-01"
)

// Config of a Provider.
type Config struct {
	// BaseURL is where the endpoints are: https://api.anthropic.com/v1.
	BaseURL string
	// Key gives the API key for each call; it is sent as x-api-key. Nil or empty sends none.
	Key func() string
	// Model replaces the model the jobs name, where it is not empty.
	Model string
	// Version is the header anthropic-version. Default 2023-06-01.
	Version string
	// MaxTokens is asked for where a chat line names no max_tokens, as Anthropic requires
	// one. Default 4096.
	MaxTokens int
	// Raw keeps the original of a translated answer, as its member nightshift_raw.
	Raw bool
	// Stream asks for every answer as a stream, which is put together here.
	Stream bool
	// Idle is how long a stream may be silent between its chunks. Default 30 s.
	Idle time.Duration
	// MaxInFlight is how many connections are kept for reuse. Default 64.
	MaxInFlight int
	// MaxReply bounds a reply's body in bytes. Default 32 MiB.
	MaxReply int64
}

// Provider is an account at Anthropic. It is safe for concurrent use.
type Provider struct {
	c    Config
	post *post.Client
}

// New checks the base URL and returns a Provider. Close frees its connections.
func New(c Config) (*Provider, error) {
	client, err := post.New(post.Config{
		BaseURL: c.BaseURL, MaxInFlight: c.MaxInFlight, MaxReply: c.MaxReply, Idle: c.Idle,
	})
	if err != nil {
		return nil, err
	}
	if c.Version == "" {
		c.Version = defaultVersion
	}
	if c.MaxTokens == 0 {
		c.MaxTokens = 4096
	}
	return &Provider{c: c, post: client}, nil
}

// Close frees idle connections.
func (p *Provider) Close() { p.post.Close() }

// Call puts a chat line or a Messages line to Anthropic and reads the reply to its end, within
// ctx. Any other line, and a chat line that Anthropic cannot answer, is refused as OpenAI
// refuses a bad request, without a call. Errors come back as Anthropic sent them.
func (p *Provider) Call(ctx context.Context, c policy.Call) policy.Reply {
	switch c.Path {
	case messagesPath:
		body, err := chat.Set(c.Body, p.own()...)
		if err != nil {
			return chat.Refuse(err)
		}
		return p.send(ctx, body)
	case chat.Path:
		body, err := p.translate(c.Body)
		if err != nil {
			return chat.Refuse(err)
		}
		return p.answer(p.send(ctx, body))
	}
	return chat.Refuse(&chat.Refusal{Param: "url", Why: "must be " + chat.Path + " or " + messagesPath + " for Anthropic"})
}

// own are the members that the configuration sets in every request. Where it says nothing of
// streams, a Messages line asks for one itself or does not.
func (p *Provider) own() []chat.Member {
	var members []chat.Member
	if p.c.Model != "" {
		members = append(members, chat.String("model", p.c.Model))
	}
	if p.c.Stream {
		members = append(members, chat.Member{Name: "stream", Value: []byte("true")})
	}
	return members
}

func (p *Provider) send(ctx context.Context, body []byte) policy.Reply {
	h := http.Header{"Anthropic-Version": {p.c.Version}}
	if p.c.Key != nil {
		if key := p.c.Key(); key != "" {
			h.Set("X-Api-Key", key)
		}
	}
	return p.post.Do(ctx, post.Request{Path: "/messages", Header: h, Body: body, Stream: &stream{}})
}

// answer translates what is an answer; what is none goes to policy as it came.
func (p *Provider) answer(r policy.Reply) policy.Reply {
	if r.Err != nil || policy.Classify(r) != nil {
		return r
	}
	body, err := p.completion(r.Body)
	if err != nil {
		// It looked like an answer to policy and is none of Anthropic's: no body says so.
		r.Body = nil
		return r
	}
	r.Body = body
	return r
}

// element names one of an array, as a refusal does: messages[2].
func element(array string, i int) string { return array + "[" + strconv.Itoa(i) + "]" }
