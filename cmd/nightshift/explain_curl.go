package main

import (
	"bytes"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"

	"nightshift/policy"
)

// curlReader reads the output of curl -i line by line and knows where it is.
type curlReader struct {
	rest []byte
	line int
}

// parseCurlReply reads the last reply in what curl -i printed: before it may stand the headers
// of a "100 Continue", of a proxy that opened a tunnel, or of redirects that were followed.
func parseCurlReply(text []byte, skip int) (policy.Reply, error) {
	c := &curlReader{rest: text[skip:], line: bytes.Count(text[:skip], []byte("\n"))}
	for {
		r, err := c.head()
		if err != nil {
			return r, err
		}
		if _, another := statusOf(c.peek()); another {
			continue
		}
		if r.Status/100 == 1 {
			return r, fmt.Errorf("it ends with status %d: the reply itself is missing", r.Status)
		}
		r.Body = c.rest
		return r, nil
	}
}

// head reads a status line and its headers, to the empty line or the end.
func (c *curlReader) head() (r policy.Reply, err error) {
	status, ok := statusOf(c.next())
	if !ok {
		return r, fmt.Errorf("line %d: expected a status line such as HTTP/1.1 429 Too Many Requests", c.line)
	}
	r.Status, r.Header = status, textproto.MIMEHeader{}
	name := ""
	for len(c.rest) > 0 {
		line := c.next()
		if line == "" {
			return r, nil
		}
		if folded := line[0] == ' ' || line[0] == '\t'; folded && name != "" {
			values := r.Header[name]
			last := len(values) - 1
			values[last] = strings.TrimSpace(values[last] + " " + strings.TrimSpace(line))
			continue
		}
		if name, err = c.header(r.Header, line); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (c *curlReader) header(h textproto.MIMEHeader, line string) (name string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t\"{}[]<>") {
		return "", fmt.Errorf("line %d: expected a header, or an empty line before the body", c.line)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	h[name] = append(h[name], strings.TrimSpace(value))
	return name, nil
}

// next takes a line off, without its end of either kind.
func (c *curlReader) next() string {
	line := c.peek()
	_, c.rest, _ = bytes.Cut(c.rest, []byte("\n"))
	c.line++
	return line
}

func (c *curlReader) peek() string {
	line, _, _ := bytes.Cut(c.rest, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r")))
}

// statusOf reads a status line: "HTTP/1.1 429 Too Many Requests", "HTTP/2 200".
func statusOf(line string) (status int, ok bool) {
	version, rest, _ := strings.Cut(line, " ")
	switch version {
	case "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/2.0", "HTTP/3", "HTTP/3.0":
	default:
		return 0, false
	}
	code, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	status, err := strconv.Atoi(code)
	return status, err == nil && len(code) == 3 && status >= 100
}
