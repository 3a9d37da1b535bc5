package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hookSecret = "s3cret-of-the-hook"

// hook takes notifications, after it has failed for a while.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	failing  int
	refused  int
	ids      map[string]int // of what was accepted
	events   []event
	problems []string
}

func newHook(t *testing.T, failing int) *hook {
	t.Helper()
	h := &hook{failing: failing, ids: map[string]int{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// ServeHTTP checks the signature as a receiver does.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	var e event
	if err != nil || json.Unmarshal(body, &e) != nil || r.Method != http.MethodPost {
		h.problems = append(h.problems, fmt.Sprintf("%s %s", r.Method, body))
	}
	if want := sign([]byte(hookSecret), r.Header.Get("Nightshift-Timestamp"), body); r.Header.Get("Nightshift-Signature") != want {
		h.problems = append(h.problems, "signature "+r.Header.Get("Nightshift-Signature"))
	}
	if r.Header.Get("Nightshift-Event") != e.ID || strings.Contains(string(body), "good night") {
		h.problems = append(h.problems, string(body))
	}
	if h.refused < h.failing {
		h.refused++
		w.WriteHeader([]int{http.StatusInternalServerError, http.StatusNotFound}[h.refused%2])
		return
	}
	h.ids[e.ID]++
	h.events = append(h.events, e)
}

// got is what was accepted, by kind.
func (h *hook) got(t *testing.T) (kinds []string, all []event) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.problems) > 0 {
		t.Fatalf("the hook got %q", h.problems)
	}
	for _, e := range h.events {
		kinds = append(kinds, e.Event)
	}
	return kinds, slices.Clone(h.events)
}

func (h *hook) once(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, n := range h.ids {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func (h *hook) config(on string) string {
	return fmt.Sprintf("notify:\n  - {url: %q, secret_env: HOOK_SECRET, on: [%s]}\n", h.URL+"/path-with-a-password", on)
}

const hookEnv = "HOOK_SECRET=" + hookSecret

// The signature is what another implementation of HMAC-SHA256 makes of the same bytes. It was made by
// printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key.
func TestSign(t *testing.T) {
	t.Parallel()
	const want = "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
	if got := sign([]byte("key"), "1700000000", []byte(`{"a":1}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Several workers find out that a batch is complete, the endpoint fails at first, and is told once;
// after a restart it is told nothing again.
func TestNotifyComplete(t *testing.T) {
	t.Parallel()
	p, h := simulate(t, "latency=20ms"), newHook(t, 3)
	s := serveIn(t, acme(p.base, 8)+h.config("complete"), hookEnv)
	s.isReady(t)
	other := startWith(t, s.dir, []string{hookEnv}, "work", "--store", "state")
	s.submit(t, "night", 60)
	s.while("the notification", func() bool { kinds, _ := h.got(t); return len(kinds) > 0 })
	_, all := h.got(t)
	want := event{ID: all[0].ID, Event: "complete", At: all[0].At, Batch: "night", Queue: "default", Counts: &eventCounts{Total: 60, Answered: 60}}
	if diff := cmp.Diff(want, all[0]); diff != "" {
		t.Error(diff)
	}
	if err := other.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	other.must(exitOK)
	s.signal(t, syscall.SIGTERM)
	s.must(exitOK)
	again := startWith(t, s.dir, []string{hookEnv}, "work", "--store", "state", "--drain")
	again.must(exitOK)
	if kinds, _ := h.got(t); len(kinds) != 1 {
		t.Errorf("told %v", kinds)
	}
	h.once(t)
	for _, c := range []*child{s.child, other, again} {
		if words := c.stderr.String(); strings.Contains(words, "password") || strings.Contains(words, hookSecret) {
			t.Errorf("a secret is in the log:\n%s", words)
		}
	}
}

// What the process did not live to tell, the next one does; and a run tells before it ends.
func TestNotifyAfterRestart(t *testing.T) {
	t.Parallel()
	p, h := simulate(t, ""), newHook(t, 1<<30)
	s := serveIn(t, acme(p.base, 8)+h.config("complete"), hookEnv)
	s.isReady(t)
	s.submit(t, "night", 5)
	s.while("a try", func() bool { return strings.Contains(s.stderr.String(), "not delivered yet") })
	s.kill()
	h.mu.Lock()
	h.failing = 0
	h.mu.Unlock()
	file := prompts(t, s.dir, "second.jsonl", 3, plain)
	run := startWith(t, s.dir, []string{hookEnv}, "run", file, "--store", "state", "--batch", "second")
	run.must(exitOK)
	_, all := h.got(t)
	if !slices.ContainsFunc(all, func(e event) bool { return e.Batch == "second" && e.Counts.Answered == 3 }) {
		t.Errorf("the run told %+v", all)
	}
	work := startWith(t, s.dir, []string{hookEnv}, "work", "--store", "state")
	work.while("the first", func() bool { kinds, _ := h.got(t); return len(kinds) == 2 })
	h.once(t)
}

// Holds and budgets are told with who must do what, and only to those who want to know.
func TestNotifyHoldAndBudget(t *testing.T) {
	t.Parallel()
	p, h, quiet := simulate(t, "fault=invalid_api_key"), newHook(t, 0), newHook(t, 0)
	both := h.config("hold, budget") + strings.TrimPrefix(quiet.config("complete"), "notify:\n")
	s := serveIn(t, acme(p.base, 4)+both, hookEnv)
	s.isReady(t)
	s.submit(t, "night", 5)
	s.while("the hold", func() bool { kinds, _ := h.got(t); return slices.Contains(kinds, "hold") })
	_, all := h.got(t)
	if e := all[0]; e.Provider != "acme" || e.Class != "auth" || e.Status != 401 || e.Owner != "operator" || e.Remedy == "" {
		t.Errorf("%+v", e)
	}
	p2 := simulate(t, "")
	more := fmt.Sprintf("  free: {kind: openai, base_url: %q}\nqueues:\n  tight: {provider: free, budget: {tokens: 1500}}\n", p2.base)
	s.configure(t, strings.Replace(acme(p.base, 4), "queues:\n", more, 1)+both)
	s.signal(t, syscall.SIGHUP)
	s.while("the reload", func() bool { return strings.Contains(s.stderr.String(), "was read again") })
	file := prompts(t, s.dir, "dear.jsonl", 400, plain)
	start(t, s.dir, "submit", file, "--store", "state", "--batch", "dear", "--queue", "tight").must(exitOK)
	s.while("the budget", func() bool { kinds, _ := h.got(t); return slices.Contains(kinds, "budget") })
	_, all = h.got(t)
	i := slices.IndexFunc(all, func(e event) bool { return e.Event == "budget" })
	if e := all[i]; e.Queue != "tight" || e.Reason != "budget" || e.Limit == nil || e.Limit.Tokens != 1500 || e.Spent == nil {
		t.Errorf("%+v", e)
	}
	if kinds, _ := quiet.got(t); len(kinds) > 0 {
		t.Errorf("told of %v", kinds)
	}
	h.once(t)
}
