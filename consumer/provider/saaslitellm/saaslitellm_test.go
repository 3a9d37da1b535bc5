package saaslitellm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nightshift/consumer/provider/saaslitellm"
	"nightshift/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// team is a server of the Jobs API that writes down what it was asked.
type team struct {
	url string

	mu     sync.Mutex
	asked  []string
	jobs   int
	status map[string]int    // by the path's last part
	body   map[string]string // likewise
	hang   chan struct{}     // llm-call waits for it
}

func newTeam(t *testing.T) *team {
	t.Helper()
	s := &team{status: map[string]int{}, body: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *team) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimPrefix(r.URL.Path, "/api/jobs/")+" "+string(body))
	what := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	status, reply, hang := s.status[what], s.body[what], s.hang
	if what == "create" {
		s.jobs++
	}
	id := fmt.Sprintf("job-%d", s.jobs)
	s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer vk" {
		status = http.StatusUnauthorized
	}
	if hang != nil && what == "llm-call" {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}
	if status != 0 {
		w.WriteHeader(status)
	}
	if reply == "" {
		reply = map[string]string{
			"create":          fmt.Sprintf(`{"job_id":%q,"status":"pending","created_at":"2025-11-20T12:00:00Z"}`, id),
			"llm-call":        `{"call_id":"call-1","response":{"content":"Lima.","finish_reason":"length"},"metadata":{"tokens_used":12,"latency_ms":5,"model_group":"fast"}}`,
			"complete":        `{"status":"completed"}`,
			"create-and-call": `{"job_id":"job-9","status":"completed","response":{"content":"Lima.","finish_reason":"stop"},"metadata":{"tokens_used":12,"latency_ms":5,"model":"gpt-x"},"costs":{},"completed_at":"x"}`,
		}[what]
	}
	_, _ = io.WriteString(w, reply)
}

func (s *team) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *team) set(what string, status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[what], s.body[what] = status, body
}

func (s *team) config(mode, dir string) saaslitellm.Config {
	return saaslitellm.Config{
		BaseURL: s.url, Key: func() string { return "vk" }, TeamID: "t", JobType: "night", Mode: mode, StateDir: dir,
		Complete: 5 * time.Second,
	}
}

func open(t *testing.T, c saaslitellm.Config) *saaslitellm.Provider {
	t.Helper()
	p, err := saaslitellm.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const line = `{"model":"m","messages":[{"role":"user","content":"SECRET"}]}`

func call(body string) policy.Call {
	return policy.Call{ID: "b/j", Path: "/v1/chat/completions", Body: []byte(body)}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCreateAndCall(t *testing.T) {
	t.Parallel()
	s := newTeam(t)
	c := s.config("", "")
	c.Model, c.Raw = "other", true
	p := open(t, c)
	defer p.Close()
	r := p.Call(t.Context(), call(line))
	same(t, s.calls(), `create-and-call {"model":"other","team_id":"t","job_type":"night","messages":[{"role":"user","content":"SECRET"}]}`)
	var got map[string]json.RawMessage
	if err := json.Unmarshal(r.Body, &got); err != nil || policy.Classify(r) != nil {
		t.Fatalf("%v %s", err, r.Body)
	}
	for name, want := range map[string]string{
		"id": `"job-9"`, "object": `"chat.completion"`, "model": `"gpt-x"`, "usage": `{"total_tokens":12}`,
		"choices": `[{"index":0,"message":{"role":"assistant","content":"Lima.","refusal":null},"logprobs":null,"finish_reason":"stop"}]`,
	} {
		if string(got[name]) != want {
			t.Errorf("%s: %s", name, got[name])
		}
	}
	if !bytes.Contains(got["nightshift_raw"], []byte(`"completed_at":"x"`)) {
		t.Errorf("raw %s", got["nightshift_raw"])
	}
}

// A job is completed as its call went.
func TestJobs(t *testing.T) {
	t.Parallel()
	const create, ask = `create {"team_id":"t","job_type":"night"}`, `job-1/llm-call ` + line
	for name, c := range map[string]struct {
		what, body string
		status     int
		want       policy.Class
		asked      []string
	}{
		"answered":     {"", "", 0, "", []string{create, ask, `job-1/complete {"status":"completed"}`}},
		"not created":  {"create", `{"detail":"Insufficient credits"}`, 403, policy.Billing, []string{create}},
		"strange job":  {"create", `{"job_id":"../x","response":{}}`, 200, policy.BadReply, []string{create}},
		"no job":       {"create", `{}`, 201, policy.BadReply, []string{create}},
		"rate":         {"llm-call", `{"detail":"Rate limit exceeded"}`, 429, policy.RateLimited, []string{create, ask, `job-1/complete {"status":"failed","error_message":"rate_limited: status 429"}`}},
		"server":       {"llm-call", `SECRET`, 500, policy.ServerError, []string{create, ask, `job-1/complete {"status":"failed","error_message":"server_error: status 500"}`}},
		"no answer":    {"llm-call", `{"response":{}}`, 200, policy.BadReply, []string{create, ask, `job-1/complete {"status":"failed","error_message":"bad_reply: status 200"}`}},
		"failed":       {"llm-call", `{"status":"failed","response":{"content":""}}`, 200, policy.ServerError, []string{create, ask, `job-1/complete {"status":"failed","error_message":"server_error: status 200"}`}},
		"not complete": {"complete", `{}`, 404, "", []string{create, ask, `job-1/complete {"status":"completed"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newTeam(t), t.TempDir()
			s.set(c.what, c.status, c.body)
			p := open(t, s.config(saaslitellm.Jobs, dir))
			r := p.Call(t.Context(), call(line))
			p.Close()
			f := policy.Classify(r)
			if f != nil && f.Class != c.want || f == nil && c.want != "" {
				t.Errorf("fault %+v, want %q: %s", f, c.want, r.Body)
			}
			same(t, s.calls(), c.asked...)
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// A job is completed also when its call was cut off by its context.
func TestJobOfEndedContext(t *testing.T) {
	t.Parallel()
	s := newTeam(t)
	s.hang = make(chan struct{})
	p := open(t, s.config(saaslitellm.Jobs, t.TempDir()))
	ctx, cancel := contextFor(t, 200*time.Millisecond)
	defer cancel()
	if f := policy.Classify(p.Call(ctx, call(line))); f == nil || f.Class != policy.Timeout {
		t.Errorf("fault %+v", f)
	}
	p.Close()
	if got := s.calls(); got[len(got)-1] != `job-1/complete {"status":"failed","error_message":"timeout: no reply"}` {
		t.Errorf("asked %q", got)
	}
}

// What a dead process left open is completed by the next, what a living one has open is not.
func TestSweep(t *testing.T) {
	t.Parallel()
	s, dir := newTeam(t), t.TempDir()
	s.set("complete", http.StatusServiceUnavailable, "")
	s.hang = make(chan struct{})
	living := open(t, s.config(saaslitellm.Jobs, dir))
	done := make(chan struct{})
	go func() { defer close(done); living.Call(t.Context(), call(line)) }()
	waitFor(t, func() bool { return len(s.calls()) == 2 })
	mine := journals(t, dir)[0]
	// Three jobs of a process that died: in its call, after it, and after its completion.
	text := "+a\n+b\n=b completed\n+c\n=c failed\n-c\n+d/../x\n+e"
	if err := os.WriteFile(strings.TrimRight(mine, "0123456789")+"dead", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "jobs-0011223344556677-1") // another team's
	if err := os.WriteFile(other, []byte("+z\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	away := open(t, s.config(saaslitellm.Jobs, dir)) // the server is away and nothing forgotten
	away.Close()
	s.set("complete", 0, "")
	p := open(t, s.config(saaslitellm.Jobs, dir))
	p.Close()
	got := s.calls()
	if len(got) < 2 {
		t.Fatal(got)
	}
	last := got[len(got)-2:]
	slices.Sort(last)
	same(t, last, `a/complete {"status":"failed","error_message":"nightshift: the worker died"}`, `b/complete {"status":"completed"}`)
	for _, c := range got {
		if strings.HasPrefix(c, "job-1/complete") {
			t.Errorf("asked %s of a living process", c)
		}
	}

	close(s.hang)
	<-done
	living.Close()
	same(t, journals(t, dir), other)
	if got = s.calls(); got[len(got)-1] != `job-1/complete {"status":"completed"}` {
		t.Errorf("asked %q", got)
	}
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What the Jobs API cannot answer is a bad request, without a call.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newTeam(t)
	p := open(t, s.config("", ""))
	defer p.Close()
	for body, param := range map[string]string{
		`{"n":2}`: "n", `{"logprobs":true}`: "logprobs", `{"stream":true}`: "stream",
		`{"team_id":"x"}`: "team_id", `{"job_type":"x"}`: "job_type", `SECRET`: "body",
	} {
		r := p.Call(t.Context(), call(body))
		if f := policy.Classify(r); f == nil || f.Class != policy.BadRequest || !strings.Contains(string(r.Body), `"param":"`+param+`"`) {
			t.Errorf("%s: %s", body, r.Body)
		}
	}
	for _, path := range []string{"/v1/messages", "/v1/embeddings"} {
		c := call(line)
		c.Path = path
		if f := policy.Classify(p.Call(t.Context(), c)); f == nil || f.Class != policy.BadRequest {
			t.Errorf("%s: %+v", path, f)
		}
	}
	same(t, s.calls())
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []saaslitellm.Config{
		{BaseURL: "https://x", TeamID: "t"},
		{BaseURL: "https://x", TeamID: "t", JobType: "j", Mode: "both"},
		{BaseURL: "https://SECRET@x", TeamID: "t", JobType: "j"},
		{BaseURL: "https://x", TeamID: "t", JobType: "j", Mode: saaslitellm.Jobs},
	} {
		if _, err := saaslitellm.New(c); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("error %v", err)
		}
	}
}
