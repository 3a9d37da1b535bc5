package anthropic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/consumer/provider/anthropic"
	"nightshift/policy"
)

const told = `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-x","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grüß"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"e\n"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"a":1}}}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":5,"input_tokens":null}}

event: message_stop
data: {"type":"message_stop"}

`

const toldWhole = `{"content":[{"signature":"sig","thinking":"hm","type":"thinking"},{"citations":[{"a":1}],"text":"Grüße\n","type":"text"},` +
	`{"id":"t1","input":{"a":1},"name":"f","type":"tool_use"}],"id":"msg_1","model":"claude-x","role":"assistant","stop_reason":"tool_use",` +
	`"stop_sequence":null,"type":"message","usage":{"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"input_tokens":10,"output_tokens":5}}`

// begun is the stream up to its third event.
func begun() string {
	text, _, _ := strings.Cut(told, "event: ping")
	return text
}

func streaming(t *testing.T, text string) *anthropic.Provider {
	t.Helper()
	return open(t, anthropic.Config{Stream: true, BaseURL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	})})
}

func TestStreamIsPutTogether(t *testing.T) {
	t.Parallel()
	p := streaming(t, told)
	r := p.Call(t.Context(), messages("{}"))
	if diff := cmp.Diff(toldWhole, string(r.Body)); diff != "" || policy.Classify(r) != nil {
		t.Errorf("%v %s", r.Err, diff)
	}
	r = p.Call(t.Context(), chat(`{"messages":[{"role":"user","content":"hi"}]}`))
	for _, want := range []string{
		usage, `"content":"Grüße\n"`, `"reasoning_content":"hm"`, `"finish_reason":"tool_calls"`, `"arguments":"{\"a\":1}"`,
	} {
		if !strings.Contains(string(r.Body), want) {
			t.Errorf("no %s in %s", want, r.Body)
		}
	}
}

// Arguments that max_tokens cut short are kept as they came.
func TestStreamWithCutArguments(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(`"1}"`, `"[1"`, `"tool_use","stop_seq`, `"max_tokens","stop_seq`).Replace(told)
	r := streaming(t, text).Call(t.Context(), chat(`{"messages":[{"role":"user","content":"hi"}]}`))
	if !strings.Contains(string(r.Body), `"arguments":"{\"a\":[1"`) || !strings.Contains(string(r.Body), `"length"`) || policy.Classify(r) != nil {
		t.Errorf("%v %s", r.Err, r.Body)
	}
}

func TestErrorsInStreams(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]policy.Class{
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n": policy.Overloaded,
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}\n\n":       policy.RateLimited,
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n":                                                        policy.Network,
		"data: SECRET\n\n": policy.Network,
	} {
		for _, before := range []string{"", begun()} {
			if want == policy.Network && before != "" && strings.Contains(text, "stop") {
				continue
			}
			for _, c := range []policy.Call{messages("{}"), chat(`{"messages":[{"role":"user","content":"hi"}]}`)} {
				r := streaming(t, before+text).Call(t.Context(), c)
				if f := policy.Classify(r); f == nil || f.Class != want || r.Status != 200 {
					t.Errorf("%s: %v %s %+v", text, r.Err, r.Body, f)
				}
				if r.Err != nil && strings.Contains(r.Err.Error(), "SECRET") {
					t.Error(r.Err)
				}
			}
		}
	}
}

// Wherever a stream is cut, what comes back is all of it or a fault that is tried again.
func TestStreamCutAtEveryByte(t *testing.T) {
	t.Parallel()
	p := open(t, anthropic.Config{BaseURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		var at struct {
			N    int  `json:"n"`
			Torn bool `json:"torn"`
		}
		_ = json.NewDecoder(r.Body).Decode(&at)
		w.Header().Set("Content-Type", "text/event-stream")
		if at.Torn {
			w.Header().Set("Content-Length", strconv.Itoa(len(told)+1))
		}
		_, _ = io.WriteString(w, told[:at.N])
	})})
	for _, torn := range []bool{false, true} {
		for n := range len(told) + 1 {
			r := p.Call(t.Context(), messages(fmt.Sprintf(`{"n":%d,"torn":%v}`, n, torn)))
			f := policy.Classify(r)
			switch {
			case f == nil:
				if string(r.Body) != toldWhole || n < strings.Index(told, `event: message_stop`)-1 {
					t.Fatalf("%v at %d: %s", torn, n, r.Body)
				}
			case f.Class != policy.Network || !errors.Is(r.Err, io.ErrUnexpectedEOF) || n == len(told) || r.Body != nil ||
				!strings.HasPrefix(r.Err.Error(), "stream broke off after "):
				t.Fatalf("%v at %d: %v %+v", torn, n, r.Err, f)
			}
		}
	}
}

func TestSilentStream(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, begun())
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	r := open(t, anthropic.Config{BaseURL: url, Idle: 50 * time.Millisecond}).Call(t.Context(), messages("{}"))
	if f := policy.Classify(r); f == nil || f.Class != policy.Timeout || !strings.Contains(r.Err.Error(), "after 2 chunks: silent for 50ms") {
		t.Errorf("fault %+v, %v", f, r.Err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(told)
	f.Add("data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"a\":[]}}}\n\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"text\":7}}\n\n" +
		"data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\ud800\",\"partial_json\":\"{\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n")
	var text atomic.Pointer[string]
	p := open(f, anthropic.Config{BaseURL: serve(f, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, *text.Load())
	})})
	f.Fuzz(func(t *testing.T, s string) {
		text.Store(&s)
		for _, c := range []policy.Call{messages("{}"), chat(`{"messages":[{"role":"user","content":"hi"}]}`)} {
			r := p.Call(t.Context(), c)
			if r.Err == nil && policy.Classify(r) == nil && !json.Valid(r.Body) {
				t.Fatalf("%q became %q", s, r.Body)
			}
		}
	})
}
