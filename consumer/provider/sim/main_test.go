package sim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"nightshift/consumer/provider/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chatPath = "/v1/chat/completions"

func parse(tb testing.TB, spec string) sim.Config {
	tb.Helper()
	c, err := sim.Parse(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// line is a server and a client of its own.
type line struct {
	*sim.Handler
	url    string
	client *http.Client
}

func serve(tb testing.TB, spec string) line {
	tb.Helper()
	h := sim.New(parse(tb, spec))
	s := httptest.NewServer(h)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	tb.Cleanup(func() {
		client.CloseIdleConnections()
		s.Close()
	})
	return line{h, s.URL, client}
}

// reply is what came back, body read included.
type reply struct {
	status int
	head   http.Header
	body   string
	err    error
}

func (r reply) failure(tb testing.TB) (kind, code, message string) {
	tb.Helper()
	var e struct {
		Error struct {
			Type    string `json:"type"`
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		tb.Fatalf("body %q: %v", r.body, err)
	}
	return e.Error.Type, e.Error.Code, e.Error.Message
}

func (l line) do(req *http.Request) reply {
	resp, err := l.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b), err}
}

func (l line) post(tb testing.TB, path, id, body string) reply {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, l.url+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if id != "" {
		req.Header.Set("X-Client-Request-Id", id)
	}
	return l.do(req)
}

func (l line) get(tb testing.TB, path string) reply {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, l.url+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return l.do(req)
}

func (l line) ask(tb testing.TB, id, prompt string) reply {
	tb.Helper()
	return l.post(tb, chatPath, id, chat(prompt))
}

// direct asks the handler without a network, so that it can be done in fake time. A call
// that ends without a reply has status 0.
func direct(tb testing.TB, h http.Handler, id, prompt string) (r reply) {
	tb.Helper()
	defer func() {
		if aborted(recover()) {
			r = reply{err: http.ErrAbortHandler}
		}
	}()
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, chatPath, bytes.NewBufferString(chat(prompt)))
	req.Header.Set("X-Client-Request-Id", id)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return reply{w.Code, w.Header(), w.Body.String(), nil}
}

// aborted says whether p is net/http's own panic, which means no reply; any other goes on.
func aborted(p any) bool {
	err, _ := p.(error)
	if p != nil && !errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	return p != nil
}

func number(i int) string { return "job-" + strconv.Itoa(i) }
