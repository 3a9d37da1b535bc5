package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

func TestParseReply(t *testing.T) {
	t.Parallel()
	const wait = "retry-after: 3"
	for name, c := range map[string]struct {
		text   string
		status int
		after  string
		body   string
	}{
		"LF":            {"HTTP/1.1 429 Too Many\n" + wait + "\n\nbody\n\nmore", 429, "3", "body\n\nmore"},
		"CRLF":          {"HTTP/1.1 429 Too Many\r\n" + wait + "\r\n\r\nbody\r\n", 429, "3", "body\r\n"},
		"no reason":     {"HTTP/2 429\n" + wait + "\n\nbody", 429, "3", "body"},
		"HTTP/2 space":  {"HTTP/2 429 \r\n" + wait + "\r\n\r\n", 429, "3", ""},
		"no body":       {"HTTP/1.0 502 Bad Gateway\n" + wait, 502, "3", ""},
		"no headers":    {"HTTP/1.1 500 Oops\n\nbody", 500, "", "body"},
		"blank first":   {"\n\nHTTP/1.1 500 Oops\n\nbody", 500, "", "body"},
		"continue":      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n" + wait + "\r\n\r\nbody", 503, "3", "body"},
		"tunnel":        {"HTTP/1.1 200 Connection established\nretry-after: 9\n\nHTTP/2 503\n\nb", 503, "", "b"},
		"redirect":      {"HTTP/1.1 301 Moved\nlocation: /x\n\nHTTP/1.1 404 Not Found\n\nb", 404, "", "b"},
		"folded":        {"HTTP/1.1 500 Oops\nretry-after:\n 3\n\nb", 500, "3", "b"},
		"HTTP in body":  {"HTTP/1.1 500 Oops\n\nHTTP/1.1 is what I speak", 500, "", "HTTP/1.1 is what I speak"},
		"twice":         {"HTTP/1.1 500 Oops\nretry-after: 1\nRetry-After: 2\n\nb", 500, "1", "b"},
		"JSON object":   {`{"status":429,"headers":{"RETRY-AFTER":"3"},"body":{"a": 1}}`, 429, "3", `{"a": 1}`},
		"JSON string":   {`{"status":429,"headers":{"retry-after":["3","4"]},"body":"a \u00e9"}`, 429, "3", "a é"},
		"JSON list":     {`{"status":429,"body":[{"error":{}}]}`, 429, "", `[{"error":{}}]`},
		"JSON null":     {`{"status":429,"headers":null,"body":null}`, 429, "", ""},
		"JSON no more":  {"\xef\xbb\xbf {\"status\":429}\n", 429, "", ""},
		"JSON sim kind": {`{"kind":"sim","status":200}`, 200, "", ""},
	} {
		r, err := parseReply([]byte(c.text))
		if err != nil || r.Status != c.status || r.Header.Get("Retry-After") != c.after || string(r.Body) != c.body {
			t.Errorf("%s: %d %q %q, %v", name, r.Status, r.Header, r.Body, err)
		}
	}
}

func TestParseReplyRefuses(t *testing.T) {
	t.Parallel()
	const secret = "MARKER"
	for text, want := range map[string]string{
		"":                                     "empty",
		" \r\n":                                "empty",
		secret:                                 "neither JSON nor",
		`["` + secret + `"]`:                   "neither JSON nor",
		`{"status":429,"body":"` + secret:      "line 1: no valid JSON",
		"{\"status\":429,\n\"body\":MARKER}":   "line 2: no valid JSON",
		`{"status":429}{"body":"` + secret:     "no valid JSON",
		`{"body":"MARKER"}`:                    "field status is missing",
		`{"status":"MARKER"}`:                  "field status: expected",
		`{"status":42}`:                        "field status: expected",
		`{"status":429.5}`:                     "field status: expected",
		`{"status":null}`:                      "field status: expected",
		`{"status":429,"kind":null}`:           "field kind: expected one of openai, anthropic, saaslitellm, sim",
		`{"status":429,"kind":"MARKER"}`:       "field kind: expected one of",
		`{"status":429,"headers":"MARKER"}`:    "field headers: expected",
		`{"status":429,"headers":{"a":1}}`:     `header "a": expected a string`,
		`{"status":429,"headers":{"a":[1]}}`:   `header "a": expected a string`,
		`{"status":429,"headers":{"a":null}}`:  `header "a": expected a string`,
		`{"status":429,"z":1,"Body":"MARKER"}`: `unknown field "Body", "z": known are`,
		"HTTP/1.1 MARKER":                      "line 1: expected a status line",
		"HTTP/4 200 MARKER":                    "line 1: expected a status line",
		"HTTP/1.1 2000 MARKER":                 "line 1: expected a status line",
		"HTTP/1.1 200 OK\na: b\nMARKER\n":      "line 3: expected a header",
		"HTTP/1.1 200 OK\n{\"a\":\"MARKER\"}":  "line 2: expected a header",
		"\nHTTP/1.1 200 OK\n MARKER\n":         "line 3: expected a header",
		"HTTP/1.1 100 Continue\r\n\r\nMARKER":  "ends with status 100",
	} {
		_, err := parseReply([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// The same reply reads alike in both shapes and with either end of line.
func TestParseReplyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		status := rapid.IntRange(200, 599).Draw(t, "status")
		headers := rapid.MapOf(rapid.StringMatching(`[A-Z][a-z]{0,8}(-[A-Z][a-z]{1,8})?`),
			rapid.StringMatching(`([!-~]([ -~]{0,20}[!-~])?)?`)).Draw(t, "headers")
		body := rapid.StringMatching(`([{<a-z][ -~\n]{0,80})?`).Draw(t, "body")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end")
		before := rapid.SampledFrom([]string{"", "HTTP/1.1 100 Continue" + end + end}).Draw(t, "before")
		curl := fmt.Appendf(nil, "%sHTTP/1.1 %d Some Reason%s", before, status, end)
		for name, value := range headers {
			curl = fmt.Appendf(curl, "%s: %s%s", name, value, end)
		}
		a, err := parseReply(append(curl, end+body...))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"status": status, "headers": headers, "body": body})
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseReply(text)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != b.Status || fmt.Sprint(a.Header) != fmt.Sprint(b.Header) || !bytes.Equal(a.Body, b.Body) {
			t.Fatalf("%+v\n%+v", a, b)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	for _, s := range []string{
		`{"kind":"openai","status":429,"headers":{"a":["b"]},"body":{"error":{"code":"c"}}}`,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\nretry-after: 3\r\n\r\n{}",
		"HTTP/2 200\na:\n b\n\ndata: {\"choices\":[{}]}\n\n", "{", "HTTP/",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseReply(text)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		e := explained(policy.Classify(r), time.Minute)
		if e.Class == "" || outcomeWords(e.Outcome) == "" || e.Rule == "" || e.DelaySeconds < 0 {
			t.Errorf("%+v", e)
		}
	})
}

// Every class has an outcome, an owner and a remedy to show.
func TestExplainedIsTotal(t *testing.T) {
	t.Parallel()
	for _, class := range policy.Classes() {
		e := explained(&policy.Fault{Class: class, Rule: "r", RetryAfter: 2 * time.Minute}, time.Minute)
		waits := e.Outcome == "retry" || e.Outcome == "later" || e.Outcome == "hold"
		if outcomeWords(e.Outcome) == "" || e.Owner == "" || e.Remedy == "" || waits != (e.DelaySeconds == 120) {
			t.Errorf("%+v", e)
		}
	}
}
