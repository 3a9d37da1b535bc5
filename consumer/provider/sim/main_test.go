package sim_test

import (
	"bytes"
	"encoding/json"
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

func parse(t testing.TB, spec string) sim.Config {
	t.Helper()
	c, err := sim.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// line is a server and a client of its own.
type line struct {
	*sim.Handler
	url    string
	client *http.Client
}

func serve(t testing.TB, spec string) line {
	t.Helper()
	h := sim.New(parse(t, spec))
	s := httptest.NewServer(h)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(func() {
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

func (r reply) failure(t testing.TB) (kind, code, message string) {
	t.Helper()
	var e struct {
		Error struct {
			Type, Code, Message string
		}
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
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

func (l line) post(t testing.TB, path, id, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		req.Header.Set("X-Client-Request-Id", id)
	}
	return l.do(req)
}

func (l line) get(t testing.TB, path string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l.do(req)
}

func (l line) ask(t testing.TB, id, prompt string) reply {
	t.Helper()
	return l.post(t, chatPath, id, chat(prompt))
}

// direct asks the handler without a network, so that it can be done in fake time. A call
// that ends without a reply has status 0.
func direct(t testing.TB, h http.Handler, id, prompt string) (r reply) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			r = reply{err: http.ErrAbortHandler}
		}
	}()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, chatPath, bytes.NewBufferString(chat(prompt)))
	req.Header.Set("X-Client-Request-Id", id)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return reply{w.Code, w.Header(), w.Body.String(), nil}
}

func number(i int) string { return "job-" + strconv.Itoa(i) }
