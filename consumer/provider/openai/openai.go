// Package openai calls any provider that speaks OpenAI's HTTP interface: it posts a job's body
// to the job's endpoint below a base URL and gives back status, headers and body as they came.
// It judges nothing and tries nothing twice: that is package policy's.
package openai

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/consumer/provider/internal/post"
	"nightshift/policy"
)

// Config of a Provider.
type Config struct {
	// BaseURL is where the endpoints are, such as https://api.openai.com/v1: a job's path
	// /v1/chat/completions is called as BaseURL + /chat/completions. For Azure it names the
	// deployment: https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT.
	BaseURL string
	// Key gives the API key for each call, so that one in a file can be mended while the
	// program runs; empty sends none. Nil sends none.
	Key func() string
	// KeyHeader is the header the key goes into by itself, such as Azure's api-key. Empty and
	// Authorization stand for "Authorization: Bearer KEY".
	KeyHeader string
	// APIVersion is sent as the query api-version, which Azure asks for, if it is not empty.
	APIVersion string
	// Model replaces the model the jobs name, where it is not empty.
	Model string
	// Stream asks for chat, completions and responses as a stream, which is put together to
	// the answer that would have come without.
	Stream bool
	// Idle is how long a stream may be silent between its chunks. Default 30 s.
	Idle time.Duration
	// MaxInFlight is how many connections are kept for reuse. Default 64.
	MaxInFlight int
	// MaxReply bounds a reply's body in bytes. Default 32 MiB.
	MaxReply int64
}

// Provider is an account at an OpenAI-compatible endpoint. It is safe for concurrent use.
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
	return &Provider{c: c, post: client}, nil
}

// Close frees idle connections.
func (p *Provider) Close() { p.post.Close() }

// Call posts the body and reads the reply to its end, within ctx. A reply that comes as a
// stream, asked for by the configuration or the job, is put together. A line for Anthropic's
// /v1/messages is refused, as a bad request is, without a call.
func (p *Provider) Call(ctx context.Context, c policy.Call) policy.Reply {
	if c.Path == "/v1/messages" {
		return chat.Refuse(&chat.Refusal{Param: "url", Why: "/v1/messages is for providers of kind anthropic"})
	}
	body, err := chat.Set(c.Body, p.own(c.Path)...)
	if err != nil {
		return policy.Reply{Err: err}
	}
	h := http.Header{}
	if c.ID != "" {
		h.Set("X-Client-Request-Id", c.ID)
	}
	p.sign(h)
	return p.post.Do(ctx, post.Request{Path: p.endpoint(c.Path), Header: h, Body: body, Stream: newStream(c)})
}

// own are the members that the configuration sets in a request.
func (p *Provider) own(path string) []chat.Member {
	var members []chat.Member
	if p.c.Model != "" {
		members = append(members, chat.String("model", p.c.Model))
	}
	if !p.c.Stream {
		return members
	}
	switch path {
	case responsesPath:
		members = append(members, chat.Member{Name: "stream", Value: []byte("true")})
	case chat.Path, completionsPath:
		members = append(members, chat.Member{Name: "stream", Value: []byte("true")},
			chat.Member{Name: "stream_options", Value: []byte(`{"include_usage":true}`)})
	}
	return members
}

func (p *Provider) sign(h http.Header) {
	if p.c.Key == nil {
		return
	}
	switch key := p.c.Key(); {
	case key == "":
	case p.c.KeyHeader == "" || strings.EqualFold(p.c.KeyHeader, "Authorization"):
		h.Set("Authorization", "Bearer "+key)
	default:
		h.Set(p.c.KeyHeader, key)
	}
}

// endpoint is a job's path below the base URL; the version is named by both, once is enough.
func (p *Provider) endpoint(path string) string {
	path = strings.TrimPrefix(path, "/v1")
	if p.c.APIVersion != "" {
		path += "?" + url.Values{"api-version": {p.c.APIVersion}}.Encode()
	}
	return path
}
