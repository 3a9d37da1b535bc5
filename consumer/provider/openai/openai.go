// Package openai calls any provider that speaks OpenAI's HTTP interface: it posts a job's body
// to the job's endpoint below a base URL and gives back status, headers and body as they came.
// It judges nothing and tries nothing twice: that is package policy's.
package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"nightshift/policy"
)

// Config of a Provider.
type Config struct {
	// BaseURL is where the endpoints are, such as https://api.openai.com/v1: a job's path
	// /v1/chat/completions is called as BaseURL + /chat/completions.
	BaseURL string
	// Key gives the API key for each call, so that one in a file can be mended while the
	// program runs; empty sends none. Nil sends none.
	Key func() string
	// Model replaces the model the jobs name, where it is not empty.
	Model string
	// MaxInFlight is how many connections are kept for reuse. Default 64.
	MaxInFlight int
	// MaxReply bounds a reply's body in bytes. Default 32 MiB.
	MaxReply int64
}

// Provider is an account at an OpenAI-compatible endpoint. It is safe for concurrent use.
type Provider struct {
	base   string
	c      Config
	client *http.Client
}

// New checks the base URL and returns a Provider. Close frees its connections.
func New(c Config) (*Provider, error) {
	u, err := url.Parse(c.BaseURL)
	// It is not quoted: somebody may have put a key there.
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("base URL: expected something like https://api.openai.com/v1")
	}
	if u.User != nil || strings.ContainsAny(c.BaseURL, "?#") {
		return nil, errors.New("base URL: a key or query does not belong there; keys come from the environment or a file")
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 64
	}
	if c.MaxReply == 0 {
		c.MaxReply = 32 << 20
	}
	return &Provider{base: strings.TrimRight(c.BaseURL, "/"), c: c, client: newClient(c.MaxInFlight)}, nil
}

// newClient keeps a connection for every call in flight: Go's default of two a host would
// open and close one for nearly every call.
func newClient(conns int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          conns,
			MaxIdleConnsPerHost:   conns,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ExpectContinueTimeout: time.Second,
		},
		// A job's prompt and key go to the configured host and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close frees idle connections.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// Call posts the body and reads the reply to its end, within ctx.
func (p *Provider) Call(ctx context.Context, c policy.Call) policy.Reply {
	req, err := p.request(ctx, c)
	if err != nil {
		return policy.Reply{Err: err}
	}
	res, err := p.client.Do(req)
	if err != nil {
		return policy.Reply{Err: bare(err)}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := readAll(res.Body, res.ContentLength, p.c.MaxReply)
	return policy.Reply{
		Status: res.StatusCode, Header: textproto.MIMEHeader(res.Header), Body: body, Err: bare(err),
	}
}

func (p *Provider) request(ctx context.Context, c policy.Call) (*http.Request, error) {
	body := c.Body
	if p.c.Model != "" {
		var err error
		if body, err = setModel(body, p.c.Model); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint(c.Path), bytes.NewReader(body))
	if err != nil {
		return nil, bare(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "nightshift")
	if c.ID != "" {
		req.Header.Set("X-Client-Request-Id", c.ID)
	}
	if p.c.Key != nil {
		if key := p.c.Key(); key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
	}
	return req, nil
}

// endpoint joins the base URL and a job's path; the version is named by both, once is enough.
func (p *Provider) endpoint(path string) string {
	return p.base + strings.TrimPrefix(path, "/v1")
}

// readAll reads the body, with one allocation where its length is known. A body that goes on
// beyond limit is an error: it is no answer anybody wants in a queue.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if length > 0 && length <= limit {
		b.Grow(int(length) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(r, limit+1))
	if n > limit {
		return nil, fmt.Errorf("read reply: over %d bytes", limit)
	}
	return b.Bytes(), err
}

// bare takes the URL out of the transport's error: a user may have put something into it that
// should not be read in a log.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
