package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nightshift/consumer/provider/openai"
	"nightshift/policy"
)

// told is a stream as OpenAI sends it: a tool call, a text and two choices.
const told = `data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"xyz"}

data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":1,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}

: comment

data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Grüß"},"logprobs":{"content":[{"token":"a"}]}}]}

data: {"id":"c1","choices":[{"index":0,"delta":{"content":" \ud83d\ude00\n"},"logprobs":{"content":[{"token":"b"}]}},{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}

data: {"id":"c1","choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}

data: {"id":"c1","choices":[{"index":1,"delta":{},"finish_reason":"tool_calls"}]}

data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}

data: [DONE]

`

const toldWhole = `{"id":"c1","object":"chat.completion","created":7,"model":"m",` +
	`"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"choices":[` +
	`{"index":0,"message":{"role":"assistant","content":"Grüß 😀\n","refusal":null},` +
	`"logprobs":{"content":[{"token":"a"},{"token":"b"}]},"finish_reason":"stop"},` +
	`{"index":1,"message":{"role":"assistant","content":null,"tool_calls":[` +
	`{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
	`{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`

// streaming serves the text as a stream.
func streaming(t *testing.T, text string, c openai.Config) *openai.Provider {
	t.Helper()
	c.BaseURL, _ = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, text)
	})
	return open(t, c)
}

func TestStreamIsPutTogether(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"\n": told, "\r\n": strings.ReplaceAll(told, "\n", "\r\n"), "\r": strings.ReplaceAll(told, "\n", "\r"),
		"bom": "\ufeff" + told, "no space": strings.ReplaceAll(told, "data: ", "data:"),
		"no done": strings.ReplaceAll(told, "data: [DONE]\n\n", ""), "no last line": strings.TrimSpace(told),
	} {
		r := streaming(t, text, openai.Config{Stream: true}).Call(t.Context(), call(`{"n":2}`))
		if diff := cmp.Diff(toldWhole, string(r.Body)); diff != "" || r.Err != nil || r.Status != 200 {
			t.Errorf("%q: %v %s", name, r.Err, diff)
		}
		if f := policy.Classify(r); f != nil {
			t.Errorf("%q: %v", name, f)
		}
	}
}

// A stream is asked for only where there is one, and read whoever asked for it.
func TestStreamIsAskedFor(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, echo)
	p := open(t, openai.Config{BaseURL: url, Stream: true, Model: "m"})
	for path, want := range map[string]string{
		"/v1/chat/completions": `{"model":"m","stream":true,"stream_options":{"include_usage":true},"a":1}`,
		"/v1/completions":      `{"model":"m","stream":true,"stream_options":{"include_usage":true},"a":1}`,
		"/v1/responses":        `{"model":"m","stream":true,"a":1}`,
		"/v1/embeddings":       `{"model":"m","stream":false,"a":1}`,
	} {
		c := call(`{"stream":false,"a":1}`)
		c.Path = path
		if r := p.Call(t.Context(), c); string(r.Body) != want {
			t.Errorf("%s: %s", path, r.Body)
		}
	}
	p = streaming(t, told, openai.Config{})
	if r := p.Call(t.Context(), call(`{"stream":true}`)); string(r.Body) != toldWhole {
		t.Errorf("reply %s", r.Body)
	}
}

func TestStreamsOfOtherServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ path, text, want string }{
		"completions": {
			"/v1/completions", "data: {\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\",\"index\":0}]}\n\ndata: {\"choices\":[{\"text\":\"b\",\"index\":0,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
			`{"object":"text_completion","choices":[{"index":0,"text":"ab","finish_reason":"stop"}]}`,
		},
		"responses": {
			"/v1/responses", "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\n\n",
			`{"output":[1]}`,
		},
		"every call has index 0": {
			"/v1/chat/completions", `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}` + "\n\ndata: [DONE]\n\n",
			`{"choices":[{"index":0,"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}],"role":"assistant","content":null},"finish_reason":"tool_calls"}]}`,
		},
		"thinking parts": {
			"/v1/chat/completions", `data: {"choices":[{"delta":{"content":"a"}}]}` + "\n\n" + `data: {"choices":[{"delta":{"content":[{"type":"thinking"}]}}]}` + "\n\n" +
				`data: {"choices":[{"delta":{"content":"b"}}]}` + "\n\n" + `data: {"choices":[{"delta":{"content":"c"},"finish_reason":"stop"}]}` + "\n\n",
			`{"choices":[{"index":0,"message":{"content":[{"type":"text","text":"a"},{"type":"thinking"},{"type":"text","text":"bc"}],"role":"assistant"},"finish_reason":"stop"}]}`,
		},
		"reasoning, repeated names": {
			"/v1/chat/completions", `data: {"id":"","model":"","choices":[]}` + "\n\n" + `data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"x"}}]}` + "\n\n" +
				`data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"y","content":"z"},"finish_reason":"stop"}]}` + "\n\n",
			`{"id":"1","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"xy","content":"z"},"finish_reason":"stop"}]}`,
		},
	} {
		p := streaming(t, c.text, openai.Config{Stream: true})
		r := p.Call(t.Context(), policy.Call{Path: c.path, Body: []byte("{}")})
		if diff := cmp.Diff(c.want, string(r.Body)); diff != "" || r.Err != nil {
			t.Errorf("%s: %v %s", name, r.Err, diff)
		}
	}
}

func TestErrorsInStreams(t *testing.T) {
	t.Parallel()
	first := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"
	for text, want := range map[string]policy.Class{
		`data: {"error":{"message":"Rate limit","type":"requests","code":"rate_limit_exceeded"}}`: policy.RateLimited,
		`data: {"error":{"message":"m","code":"server_is_overloaded"},"choices":[{"index":0}]}`:   policy.Overloaded,
		"event: error\ndata: {\"message\":\"m\",\"code\":\"insufficient_quota\"}":                 policy.Quota,
		`data: {"object":"error","message":"m","code":400,"type":"BadRequestError"}`:              policy.BadRequest,
	} {
		for _, before := range []string{"", first} {
			r := streaming(t, before+text+"\n\n"+first, openai.Config{Stream: true}).Call(t.Context(), call("{}"))
			if f := policy.Classify(r); r.Err != nil || r.Status != 200 || f == nil || f.Class != want {
				t.Errorf("%s: %v %+v", text, r.Err, f)
			}
		}
	}
}

// An error's reply is no stream, also where one was asked for.
func TestRefusedStream(t *testing.T) {
	t.Parallel()
	url, conns := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"code":"rate_limit_exceeded"}}`)
	})
	p := open(t, openai.Config{BaseURL: url, Stream: true})
	for range 20 {
		if f := policy.Classify(p.Call(t.Context(), call("{}"))); f == nil || f.Class != policy.RateLimited {
			t.Fatalf("fault %+v", f)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Wherever a stream is cut, what comes back is all of it or a fault that is tried again.
func TestStreamCutAtEveryByte(t *testing.T) {
	t.Parallel()
	const clean = "clean"
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		how, at, _ := strings.Cut(r.Header.Get("X-Client-Request-Id"), " ")
		n, _ := strconv.Atoi(at)
		w.Header().Set("Content-Type", "text/event-stream")
		if how != clean { // more is promised than comes
			w.Header().Set("Content-Length", strconv.Itoa(len(told)+1))
		}
		_, _ = io.WriteString(w, told[:n])
	})
	p := open(t, openai.Config{BaseURL: url, Stream: true})
	usage, done := strings.Index(told, `data: {"id":"c1","choices":[],"usage"`), strings.Index(told, "data: [DONE]\n")+len("data: [DONE]\n")
	for _, how := range []string{clean, "torn"} {
		for n := range len(told) + 1 {
			c := call(`{"n":2}`)
			c.ID = fmt.Sprint(how, " ", n)
			r := p.Call(t.Context(), c)
			f := policy.Classify(r)
			switch {
			case n > done, how == clean && n >= done:
				if string(r.Body) != toldWhole || f != nil {
					t.Fatalf("%s at %d: %v %s", how, n, r.Err, r.Body)
				}
			case how == clean && n >= usage-1: // every choice has ended
				if f != nil {
					t.Fatalf("%s at %d: %v", how, n, r.Err)
				}
			default:
				if f == nil || f.Class != policy.Network || !errors.Is(r.Err, io.ErrUnexpectedEOF) || r.Body != nil ||
					!strings.HasPrefix(r.Err.Error(), "stream broke off after ") {
					t.Fatalf("%s at %d: %v %+v %s", how, n, r.Err, f, r.Body)
				}
			}
		}
	}
}

// A stream that has begun may not be silent for long; before, the model may be thinking.
func TestSilentStream(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		time.Sleep(300 * time.Millisecond)
		for range 3 {
			_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"SECRET\"}}]}\n\n")
			w.(http.Flusher).Flush()
			time.Sleep(60 * time.Millisecond)
		}
		<-r.Context().Done()
	})
	p := open(t, openai.Config{BaseURL: url, Stream: true, Idle: 150 * time.Millisecond})
	r := p.Call(t.Context(), call("{}"))
	if f := policy.Classify(r); f == nil || f.Class != policy.Timeout || r.Status != 200 {
		t.Errorf("fault %+v, %v", f, r.Err)
	}
	var timeout net.Error
	if !errors.As(r.Err, &timeout) || !strings.Contains(r.Err.Error(), "after 3 chunks: silent for 150ms") {
		t.Errorf("error %v", r.Err)
	}
}

// A stream is bounded as a whole, and its connection serves the next call.
func TestStreamBoundAndConnection(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for range 100 {
		text.WriteString("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0123456789\"}}]}\n\n")
	}
	text.WriteString("data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	url, conns := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text.String())
	})
	p := open(t, openai.Config{BaseURL: url, Stream: true, MaxReply: int64(text.Len())})
	for range 50 {
		if r := p.Call(t.Context(), call("{}")); r.Err != nil || strings.Count(string(r.Body), "0123456789") != 100 {
			t.Fatalf("%v %s", r.Err, r.Body)
		}
	}
	if n := conns.Load(); n > 5 { // a loaded machine may end a stream too late
		t.Errorf("%d connections", n)
	}
	p = open(t, openai.Config{BaseURL: url, Stream: true, MaxReply: int64(text.Len()) / 2})
	if r := p.Call(t.Context(), call("{}")); r.Err == nil || !strings.Contains(r.Err.Error(), "too long") {
		t.Errorf("reply %+v", r)
	}
}

// However a text is cut into deltas, it comes out whole.
func TestDeltasRoundTrip(t *testing.T) {
	t.Parallel()
	var text string
	url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	})
	p := open(t, openai.Config{BaseURL: url, Stream: true})
	rapid.Check(t, func(rt *rapid.T) {
		deltas := rapid.SliceOfN(rapid.String(), 1, 8).Draw(rt, "deltas")
		var b strings.Builder
		for _, d := range deltas {
			quoted, _ := json.Marshal(d)
			fmt.Fprintf(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", quoted)
		}
		text = b.String() + "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n"
		r := p.Call(t.Context(), call("{}"))
		var got struct {
			Choices []struct {
				Message struct {
					Content string `json:"content"`
				} `json:"message"`
			} `json:"choices"`
		}
		if err := json.Unmarshal(r.Body, &got); err != nil || len(got.Choices) != 1 {
			rt.Fatalf("%v: %s", err, r.Body)
		}
		if want := strings.Join(deltas, ""); got.Choices[0].Message.Content != want {
			rt.Fatalf("%q, want %q", got.Choices[0].Message.Content, want)
		}
	})
}

func FuzzStream(f *testing.F) {
	f.Add(told)
	f.Add("data: {\"choices\":[{\"index\":9,\"delta\":[1],\"finish_reason\":{}}],\"usage\":[{}]}\n\ndata: [DONE]\n\n")
	f.Add("data: {\"choices\":{\"a\":1},\"error\":false}\n\ndata: {\"choices\":[{\"delta\":{\"a\":[{\"index\":1},\"b\"],\"a\":\"x\"}}]}\n\ndata: [DONE]\n\n")
	var text atomic.Pointer[string]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, *text.Load())
	})}
	go func() { _ = s.Serve(l) }()
	f.Cleanup(func() { _ = s.Close() })
	p, err := openai.New(openai.Config{BaseURL: "http://" + l.Addr().String(), Stream: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	f.Fuzz(func(t *testing.T, s string) {
		text.Store(&s)
		r := p.Call(t.Context(), call("{}"))
		if r.Err == nil && policy.Classify(r) == nil && !json.Valid(r.Body) {
			t.Fatalf("%q became %q", s, r.Body)
		}
	})
}
