package anthropic_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"nightshift/consumer/provider/anthropic"
	"nightshift/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(tb testing.TB, handle http.HandlerFunc) string {
	tb.Helper()
	s := httptest.NewServer(handle)
	tb.Cleanup(s.Close)
	return s.URL + "/v1"
}

func open(tb testing.TB, c anthropic.Config) *anthropic.Provider {
	tb.Helper()
	p, err := anthropic.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func chat(body string) policy.Call {
	return policy.Call{ID: "b/j", Path: "/v1/chat/completions", Body: []byte(body)}
}

func messages(body string) policy.Call {
	return policy.Call{ID: "b/j", Path: "/v1/messages", Body: []byte(body)}
}

const answer = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Lima."}],` +
	`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":5}}`

// asked gives what a line is for Anthropic, as its server got it.
func asked(t *testing.T, c anthropic.Config, line policy.Call) (string, policy.Reply) {
	t.Helper()
	got := "nothing"
	c.BaseURL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		_, _ = io.WriteString(w, answer)
	})
	return got, open(t, c).Call(t.Context(), line)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	var got http.Header
	var path string
	c := anthropic.Config{Key: func() string { return "sk-ant" }, BaseURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, path = r.Header, r.RequestURI
		_, _ = io.WriteString(w, answer)
	})}
	r := open(t, c).Call(t.Context(), messages(`{"a":1}`))
	if string(r.Body) != answer || policy.Classify(r) != nil {
		t.Errorf("reply %+v %s", r, r.Body)
	}
	if path != "/v1/messages" || got.Get("X-Api-Key") != "sk-ant" || got.Get("Anthropic-Version") != "2023-06-01" ||
		got.Get("Authorization") != "" || got.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", path, got)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	hi := `"messages":[{"role":"user","content":"hi"}]`
	hiBack := `"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]`
	for name, c := range map[string]struct{ line, want string }{
		"least": {`{"model":"m",` + hi + `}`, `{"model":"m","max_tokens":4096,` + hiBack + `}`},
		"nothing asked": {
			`{"n":1,"logprobs":false,"presence_penalty":0.0,"logit_bias":{},"stop":null,"seed":7,"stream":true,"response_format":{ "type": "text" },"tools":null,"tool_choice":"auto",` + hi + `}`,
			`{"max_tokens":4096,` + hiBack + `}`,
		},
		"settings": {
			`{"max_tokens":1,"max_completion_tokens":2,"temperature":0,"top_p":0.5,"top_k":3,"stop":"a","user":"u",` + hi + `}`,
			`{"max_tokens":2,` + hiBack + `,"temperature":0,"top_p":0.5,"top_k":3,"stop_sequences":["a"],"metadata":{"user_id":"u"}}`,
		},
		"stops": {`{"stop":["a","b"],` + hi + `}`, `{"max_tokens":4096,` + hiBack + `,"stop_sequences":["a","b"]}`},
		"system": {
			`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"developer","content":[{"type":"text","text":"d","cache_control":{"type":"ephemeral"}}]}]}`,
			`{"max_tokens":4096,"system":[{"type":"text","text":"s"},{"type":"text","text":"d","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`,
		},
		"images": {
			`{"messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"image_url","image_url":{"url":"data:image/PNG;base64,AA==","detail":"low"}},{"type":"image_url","image_url":{"url":"https://x/y"}}]}]}`,
			`{"max_tokens":4096,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},{"type":"image","source":{"type":"url","url":"https://x/y"}}]}]}`,
		},
		"tools": {
			`{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"2","type":"function","function":{"name":"g","arguments":""}}]},` +
				`{"role":"tool","tool_call_id":"1","content":"one"},{"role":"tool","tool_call_id":"2","content":""},{"role":"user","content":"v"}],` +
				`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}`,
			`{"max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"u"}]},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1}},{"type":"tool_use","id":"2","name":"g","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"one"}]},{"type":"tool_result","tool_use_id":"2"},{"type":"text","text":"v"}]}],` +
				`"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}},{"name":"g","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}}`,
		},
		"required": {
			`{"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"required",` + hi + `}`,
			`{"max_tokens":4096,` + hiBack + `,"tools":[{"name":"g","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"any"}}`,
		},
		"prefill": {
			`{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":""},{"role":"assistant","content":"{"}]}`,
			`{"max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"u"}]},{"role":"assistant","content":[{"type":"text","text":"{"}]}]}`,
		},
	} {
		got, r := asked(t, anthropic.Config{}, chat(c.line))
		if diff := cmp.Diff(c.want, got); diff != "" || policy.Classify(r) != nil {
			t.Errorf("%s: %s %s", name, r.Body, diff)
		}
	}
	got, _ := asked(t, anthropic.Config{Model: "n", MaxTokens: 9, Stream: true}, chat(`{"model":"m",`+hi+`}`))
	if want := `{"model":"n","max_tokens":9,` + hiBack + `,"stream":true}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got, _ = asked(t, anthropic.Config{Model: "n", Stream: true}, messages(`{"model":"m","x":[ 1 ]}`))
	if want := `{"model":"n","stream":true,"x":[ 1 ]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What Anthropic cannot do is a bad request that names the member, without a call.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const secret = "SECRET"
	hi := `"messages":[{"role":"user","content":"` + secret + `"}]`
	for line, param := range map[string]string{
		`{"n":2,` + hi + `}`:             "n",
		`{"logprobs":true,` + hi + `}`:   "logprobs",
		`{"temperature":1.5,` + hi + `}`: "temperature",
		`{"response_format":{"type":"json_schema","json_schema":{"name":"SECRET"}},` + hi + `}`: "response_format",
		`{"presence_penalty":0.1,` + hi + `}`:                                                   "presence_penalty",
		`{"reasoning_effort":"low",` + hi + `}`:                                                 "reasoning_effort",
		`{"top_p":"SECRET",` + hi + `}`:                                                         "top_p",
		`{"stop":{"a":1},` + hi + `}`:                                                           "stop",
		`{"tools":[{"type":"web"}],` + hi + `}`:                                                 "tools[0].type",
		`{"tool_choice":"SECRET",` + hi + `}`:                                                   "tool_choice",
		`{"messages":"SECRET"}`:                                                                 "messages",
		`{"messages":[]}`:                                                                       "messages",
		`{}`:                                                                                    "messages",
		`{"messages":[{"role":"user","content":""}]}`:                                           "messages[0].content",
		`{"messages":[{"role":"user","content":5}]}`:                                            "messages[0].content",
		`{"messages":[{"role":"user","content":[{"type":"text","text":{}}]}]}`:                  "messages[0].content[0].text",
		`{"messages":[{"role":"user","content":"a"},{"role":"SECRET"}]}`:                        "messages[1].role",
		`{"messages":[{"role":"user","content":[{"type":"input_audio"}]}]}`:                     "messages[0].content[0].type",
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://SECRET"}}]}]}`: "messages[0].content[0].image_url.url",
		`{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"SECRET"}}]}]}`:   "messages[0].tool_calls[0].function.arguments",
		`SECRET`:        "body",
		`{"messages":[`: "body",
	} {
		got, r := asked(t, anthropic.Config{}, chat(line))
		var e struct {
			Error struct {
				Message string `json:"message"`
				Type    string `json:"type"`
				Param   string `json:"param"`
			} `json:"error"`
		}
		_ = json.Unmarshal(r.Body, &e)
		f := policy.Classify(r)
		if got != "nothing" || r.Status != 400 || f == nil || f.Class != policy.BadRequest || e.Error.Param != param ||
			e.Error.Type != "invalid_request_error" || !strings.Contains(e.Error.Message, param) || strings.Contains(string(r.Body), secret) {
			t.Errorf("%s: %s %v, want %s", line, r.Body, f, param)
		}
	}
	line := chat(`{}`)
	line.Path = "/v1/embeddings"
	if got, r := asked(t, anthropic.Config{}, line); got != "nothing" || policy.Classify(r).Class != policy.BadRequest {
		t.Errorf("embeddings: %s", r.Body)
	}
}

const usage = `"usage":{"prompt_tokens":15,"completion_tokens":5,"total_tokens":20,"prompt_tokens_details":{"cached_tokens":3,"cache_creation_tokens":2}}`

func TestAnswers(t *testing.T) {
	t.Parallel()
	text := func(s string) string { return `{"role":"assistant","content":` + s + `,"refusal":null}` }
	for reason, want := range map[string]string{
		"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
		"refusal": "content_filter", "pause_turn": "stop", "new": "stop", "model_context_window_exceeded": "length",
	} {
		checkAnswer(t, strings.Replace(answer, "end_turn", reason, 1), text(`"Lima."`), want)
	}
	for content, message := range map[string]string{
		`[]`: text(`""`),
		`[{"type":"text","text":"a"},{"type":"text","text":"b","citations":null},{"type":"new","x":1}]`:                           text(`"ab"`),
		`[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"a"}]`: `{"role":"assistant","content":"a","refusal":null,"reasoning_content":"t"}`,
		`[{"type":"tool_use","id":"1","name":"f","input":{"a":[1]}},{"type":"tool_use","id":"2","name":"g","input":{}}]`:          `{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":[1]}"}},{"id":"2","type":"function","function":{"name":"g","arguments":"{}"}}]}`,
	} {
		checkAnswer(t, strings.Replace(answer, `[{"type":"text","text":"Lima."}]`, content, 1), message, "stop")
	}
}

func checkAnswer(t *testing.T, from, message, finish string) {
	t.Helper()
	for _, raw := range []bool{false, true} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, from) })
		r := open(t, anthropic.Config{BaseURL: url, Raw: raw}).Call(t.Context(), chat(`{"messages":[{"role":"user","content":"hi"}]}`))
		var created struct {
			Created int64 `json:"created"`
		}
		_ = json.Unmarshal(r.Body, &created)
		want := fmt.Sprintf(`{"id":"msg_1","object":"chat.completion","created":%d,"model":"claude-x","choices":[{"index":0,"message":%s,"logprobs":null,"finish_reason":%q}],%s`,
			created.Created, message, finish, usage)
		if raw {
			want += `,"nightshift_raw":` + from
		}
		if diff := cmp.Diff(want+"}", string(r.Body)); diff != "" || policy.Classify(r) != nil || created.Created == 0 {
			t.Errorf("%s: %s", from, diff)
		}
		if a := policy.ReadAnswer(r.Body); a.InputTokens != 15 || a.OutputTokens != 5 || a.FinishReason != finish || a.Model != "claude-x" {
			t.Errorf("answer %+v", a)
		}
	}
}

// Errors come to policy as Anthropic sent them.
func TestErrors(t *testing.T) {
	t.Parallel()
	body := func(kind, message string) string {
		return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_1"}`, kind, message)
	}
	for _, c := range []struct {
		status int
		body   string
		want   policy.Class
	}{
		{529, body("overloaded_error", "Overloaded"), policy.Overloaded},
		{429, body("rate_limit_error", "This request would exceed your rate limit"), policy.RateLimited},
		{400, body("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), policy.Billing},
		{400, body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), policy.ContextOverflow},
		{400, body("invalid_request_error", "messages: roles must alternate"), policy.BadRequest},
		{401, body("authentication_error", "invalid x-api-key"), policy.Auth},
		{500, body("api_error", "Internal server error"), policy.ServerError},
		{200, body("overloaded_error", "Overloaded"), policy.Overloaded},
		{200, `{"type":"message","content":7}`, policy.BadReply},
		{200, `{"content":{"text":1}}`, policy.BadReply},
		{200, `{"response":{}}`, policy.BadReply},
		{200, `<html>`, policy.BadReply},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		p := open(t, anthropic.Config{BaseURL: s.URL})
		r := p.Call(t.Context(), chat(`{"messages":[{"role":"user","content":"hi"}]}`))
		if f := policy.Classify(r); f == nil || f.Class != c.want || r.Status != c.status || r.Header.Get("Retry-After") != "7" {
			t.Errorf("%d %s: %+v", c.status, c.body, f)
		}
		s.Close()
	}
}

// Nothing of a key or prompt is in an error of the transport.
func TestErrorsAreBare(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []anthropic.Config{
		{BaseURL: closed.URL + "/SECRET"},
		{BaseURL: closed.URL, Key: func() string { return "SECRET\n" }},
	} {
		r := open(t, c).Call(t.Context(), chat(`{"messages":[{"role":"user","content":"SECRET"}]}`))
		if r.Err == nil || strings.Contains(r.Err.Error(), "SECRET") {
			t.Errorf("error %v", r.Err)
		}
	}
	if _, err := anthropic.New(anthropic.Config{BaseURL: "https://SECRET@host?x"}); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("error %v", err)
	}
}

// Valid JSON becomes valid JSON or a refusal, both ways, and nothing panics.
func FuzzTranslation(f *testing.F) {
	f.Add([]byte(`{"model":"m","stop":["a"],"tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}]}`), []byte(answer))
	f.Add([]byte(`{"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]}]}`), []byte(`{"content":[{"type":"tool_use","input":"x"}],"usage":{}}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:a;base64,"}]}]}`), []byte(`{"content":[],"usage":null}`))
	f.Add([]byte(`{"top_k":{"a":1,"a":2},"messages":[{"role":"user","content":"x"}]}`), []byte(`{"choices":[1]}`))
	var reply atomic.Pointer[[]byte]
	url := serve(f, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !json.Valid(body) {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = w.Write(*reply.Load())
	})
	p := open(f, anthropic.Config{BaseURL: url, Raw: true})
	f.Fuzz(func(t *testing.T, line, answer []byte) {
		reply.Store(&answer)
		r := p.Call(t.Context(), chat(string(line)))
		if r.Status == http.StatusTeapot || r.Status == http.StatusBadRequest && !json.Valid(r.Body) ||
			r.Status == 200 && policy.Classify(r) == nil && !json.Valid(r.Body) {
			t.Fatalf("%s, %s: %d %s", line, answer, r.Status, r.Body)
		}
	})
}
