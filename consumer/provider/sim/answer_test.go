package sim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// dig walks a JSON document by keys; "0" style steps are written as indices of arrays.
func dig(t *testing.T, body string, path ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	l := serve(t, "words=3")
	for _, c := range []struct {
		path, body string
		at         []any
		words      int
	}{
		{chatPath, chat("hi"), []any{"choices", 0, "message", "content"}, 3},
		{"/v1/completions", `{"model":"gpt-x","prompt":"hi"}`, []any{"choices", 0, "text"}, 3},
		{"/v1/responses", `{"model":"gpt-x","input":"hi"}`, []any{"output", 0, "content", 0, "text"}, 3},
		{"/v1/embeddings", `{"model":"gpt-x","input":["a", "b]", ["c"] ]}`, []any{"data", 2, "object"}, 1},
		{"/v1/moderations", `{ "input" : "hi" , "model":"gpt-x" }`, []any{"model"}, 1},
	} {
		r := l.post(t, c.path, "", c.body)
		if r.status != 200 || r.head.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %+v", c.path, r)
		}
		if got := dig(t, r.body, "model"); got != "gpt-x" {
			t.Errorf("%s: model %v", c.path, got)
		}
		if s, ok := dig(t, r.body, c.at...).(string); !ok || len(strings.Fields(s)) != c.words {
			t.Errorf("%s: %v of %s", c.path, c.at, r.body)
		}
		if again := l.post(t, c.path, "", c.body); again.body != r.body {
			t.Errorf("%s: %s, then %s", c.path, r.body, again.body)
		} else if again.head.Get("X-Request-Id") == r.head.Get("X-Request-Id") {
			t.Errorf("%s: two calls have one request id", c.path)
		}
	}
}

func TestChatShape(t *testing.T) {
	t.Parallel()
	l := serve(t, "words=5")
	r := l.ask(t, "a", strings.Repeat("x", 400))
	if got := dig(t, r.body, "object"); got != "chat.completion" {
		t.Errorf("object %v", got)
	}
	if got := dig(t, r.body, "choices", 0, "finish_reason"); got != "stop" {
		t.Errorf("finish_reason %v", got)
	}
	in := dig(t, r.body, "usage", "prompt_tokens").(float64)
	total := dig(t, r.body, "usage", "total_tokens").(float64)
	if in < 100 || in > 115 || total != in+5 {
		t.Errorf("usage %v, %v", in, total)
	}
	other := l.ask(t, "a", "another prompt")
	if dig(t, r.body, "choices", 0, "message") == nil ||
		dig(t, r.body, "choices", 0, "message", "content") == dig(t, other.body, "choices", 0, "message", "content") {
		t.Errorf("two prompts have one answer: %s", other.body)
	}
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	l := serve(t, "")
	if r := l.post(t, "/v1/images", "", "{}"); r.status != 404 {
		t.Errorf("path: %+v", r)
	} else if kind, _, _ := r.failure(t); kind != "invalid_request_error" {
		t.Errorf("path: %s", r.body)
	}
	if r := l.get(t, chatPath); r.status != 405 || r.head.Get("Allow") != http.MethodPost {
		t.Errorf("method: %+v", r)
	}
	for _, body := range []string{"", "{", "[]", `"x"`, "nil", `{"a":}`} {
		if r := l.post(t, chatPath, "", body); r.status != 400 {
			t.Errorf("body %q: %+v", body, r)
		}
	}
	if r := l.get(t, "/v1/models"); r.status != 200 || dig(t, r.body, "data", 0, "id") != "sim" {
		t.Errorf("models: %+v", r)
	}
	if s := l.Stats(); s.Calls != 6 || s.Failed != 6 {
		t.Errorf("stats %+v", s)
	}
}

func TestOddBodies(t *testing.T) {
	t.Parallel()
	l := serve(t, "")
	for _, body := range []string{
		`{}`, ` { } `, `{"model":null}`, `{"model":3,"messages":"no list"}`,
		`{"a":[{"b":"]}\"\\"},1.5e3,true],"model":"m\"x","messages":[]}`,
		"\n{\"max_tokens\":-5,\"stream\":\"yes\" ,\"input\" : [ ] }\t", `{"max_tokens":99999999999999999999999}`,
	} {
		if r := l.post(t, chatPath, "", body); r.status != 200 || dig(t, r.body, "object") != "chat.completion" {
			t.Errorf("%s: %+v", body, r)
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	l := serve(t, "words=4,chunk=1ms")
	whole := dig(t, l.ask(t, "a", "hi").body, "choices", 0, "message", "content")
	body := strings.Replace(chat("hi"), "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
	r := l.post(t, chatPath, "b", body)
	if r.err != nil || r.head.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%+v", r)
	}
	events := strings.Split(strings.TrimSpace(r.body), "\n\n")
	n := len(events)
	if n != 8 || events[n-1] != "data: [DONE]" {
		t.Fatalf("%d events: %s", n, r.body)
	}
	var text strings.Builder
	for _, e := range events[:n-3] {
		text.WriteString(dig(t, strings.TrimPrefix(e, "data: "), "choices", 0, "delta", "content").(string))
	}
	if text.String() != whole {
		t.Errorf("streamed %q, whole %q", text.String(), whole)
	}
	if got := dig(t, events[n-3][6:], "choices", 0, "finish_reason"); got != "stop" {
		t.Errorf("finish_reason %v", got)
	}
	if got := dig(t, events[n-2][6:], "usage", "completion_tokens"); got != 4.0 {
		t.Errorf("usage %v", got)
	}
}

func TestCompletionStream(t *testing.T) {
	t.Parallel()
	l := serve(t, "words=2")
	r := l.post(t, "/v1/completions", "", `{"prompt":"hi","stream":true}`)
	events := strings.Split(strings.TrimSpace(r.body), "\n\n")
	if len(events) != 5 || dig(t, events[2][6:], "choices", 0, "text") == "" {
		t.Errorf("%d events: %s", len(events), r.body)
	}
	if strings.Contains(r.body, "usage") {
		t.Errorf("usage without being asked: %s", r.body)
	}
}
