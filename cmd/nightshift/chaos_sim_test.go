package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshift/consumer/provider/sim"
)

// provider is a simulated one in a process of its own, so that it sees what becomes of calls
// whose callers are killed.
type provider struct {
	t    *testing.T
	base string
}

func simulate(t *testing.T, spec string) *provider {
	t.Helper()
	c := start(t, t.TempDir(), "simulate", spec)
	until(t, "the simulator's address", func() bool { return strings.HasSuffix(c.stdout.String(), "\n") })
	return &provider{t: t, base: strings.TrimSpace(c.stdout.String())}
}

func (p *provider) ask(method, path, body string, into any) {
	p.t.Helper()
	url := strings.TrimSuffix(p.base, "/v1") + path
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %s %v", method, path, res.Status, err)
	}
}

func (p *provider) stats() (s sim.Stats) {
	p.t.Helper()
	p.ask(http.MethodGet, "/sim/stats", "", &s)
	return s
}

// calls counts by the id of the job, batch/custom_id.
func (p *provider) calls() (n map[string]int) {
	p.t.Helper()
	p.ask(http.MethodGet, "/sim/calls", "", &n)
	return n
}

// called is how often one custom_id was.
func (p *provider) called(customID string) int {
	p.t.Helper()
	for id, n := range p.calls() {
		if strings.HasSuffix(id, "/"+customID) {
			return n
		}
	}
	return 0
}

// more returns the ids that were called more than once, and how many calls that was too many.
func (p *provider) more() (ids map[string]int, extra int) {
	p.t.Helper()
	ids = map[string]int{}
	for id, n := range p.calls() {
		if n > 1 {
			ids[id] = n
			extra += n - 1
		}
	}
	return ids, extra
}

// requestID is the x-request-id that the nth call of a job gets, which depends on nothing else.
func requestID(t *testing.T, id string, nth int) (last string) {
	t.Helper()
	h := sim.New(sim.Config{})
	for range nth {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader("{}"))
		r.Header.Set("X-Client-Request-Id", id)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		last = w.Header().Get("X-Request-Id")
	}
	return last
}
