// Package post makes one HTTP POST to a provider and reads the whole reply within its context,
// as one body or as a stream that is put together. It judges nothing, tries nothing twice, and
// its errors hold neither address nor key nor any of a body.
package post

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

// Config of a Client.
type Config struct {
	// BaseURL is what the path of each request is put behind.
	BaseURL string
	// MaxInFlight is how many connections are kept for reuse. Default 64.
	MaxInFlight int
	// MaxReply bounds a reply's body, and a whole stream, in bytes. Default 32 MiB.
	MaxReply int64
	// Idle is how long a stream that has begun may be silent. Default 30 s.
	Idle time.Duration
}

// Client posts to one provider. It is safe for concurrent use.
type Client struct {
	c    Config
	http *http.Client
}

// Request is one request.
type Request struct {
	// Path is put behind the base URL; it may end in a query.
	Path   string
	Header http.Header
	Body   []byte
	// Stream puts a reply together that comes as server-sent events with a 2xx. Without it
	// such a reply's body is given as it came.
	Stream Stream
}

// New checks the base URL and returns a Client. Close frees its connections.
func New(c Config) (*Client, error) {
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
	if c.Idle == 0 {
		c.Idle = 30 * time.Second
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	return &Client{c: c, http: newHTTP(c.MaxInFlight)}, nil
}

// newHTTP keeps a connection for every call in flight: Go's default of two a host would open
// and close one for nearly every call.
func newHTTP(conns int) *http.Client {
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
			WriteBufferSize:       16 << 10,
			ReadBufferSize:        8 << 10,
		},
		// A job's prompt and key go to the configured host and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close frees idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do posts the body and reads the reply to its end, within ctx.
func (c *Client) Do(ctx context.Context, r Request) policy.Reply {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.c.BaseURL+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return policy.Reply{Err: bare(err)}
	}
	if r.Header != nil {
		req.Header = r.Header
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "nightshift")
	res, err := c.http.Do(req)
	if err != nil {
		return policy.Reply{Err: bare(err)}
	}
	defer func() { _ = res.Body.Close() }()
	reply := policy.Reply{Status: res.StatusCode, Header: textproto.MIMEHeader(res.Header)}
	if r.Stream != nil && res.StatusCode/100 == 2 && isStream(res.Header) {
		reply.Body, err = c.follow(ctx, cancel, res.Body, r.Stream)
	} else {
		reply.Body, err = readAll(res.Body, res.ContentLength, c.c.MaxReply)
	}
	reply.Err = bare(err)
	return reply
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
		return nil, tooLong(limit)
	}
	return b.Bytes(), err
}

func tooLong(limit int64) error { return fmt.Errorf("read reply: over %d bytes", limit) }

// bare takes the URL out of the transport's error: a user may have put something into it that
// should not be read in a log.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
