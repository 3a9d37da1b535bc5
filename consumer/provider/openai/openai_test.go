package openai_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nightshift/consumer/provider/openai"
	"nightshift/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a provider's server, and counts the connections made to it.
func serve(t *testing.T, handle http.HandlerFunc) (url string, conns *atomic.Int64) {
	t.Helper()
	conns = new(atomic.Int64)
	s := httptest.NewUnstartedServer(handle)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, conns
}

func open(t *testing.T, c openai.Config) *openai.Provider {
	t.Helper()
	p, err := openai.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func call(body string) policy.Call {
	return policy.Call{ID: "b/j", Path: "/v1/chat/completions", Body: []byte(body)}
}

func TestCall(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "req_1")
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprint(w, r.Method, " ", r.URL.Path, " ", r.Header.Get("Authorization"), " ",
			r.Header.Get("X-Client-Request-Id"), " ", r.Header.Get("Content-Type"), " ", string(body))
	})
	for _, base := range []string{url + "/v1", url + "/v1/"} {
		p := open(t, openai.Config{BaseURL: base, Key: func() string { return "k" }})
		r := p.Call(t.Context(), call(`{"a":1}`))
		const want = `POST /v1/chat/completions Bearer k b/j application/json {"a":1}`
		if string(r.Body) != want || r.Status != http.StatusTeapot || r.Err != nil || r.Header.Get("X-Request-Id") != "req_1" {
			t.Errorf("reply %+v %s", r, r.Body)
		}
	}
}

// A connection serves one call after the other, failed ones too.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	statuses := []int{500, 429, 400, 401, 200, 503}
	var n atomic.Int64
	url, conns := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[int(n.Add(1))%len(statuses)])
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100<<10))
	})
	p := open(t, openai.Config{BaseURL: url})
	for range 200 {
		if r := p.Call(t.Context(), call("{}")); r.Err != nil || len(r.Body) != 100<<10 {
			t.Fatalf("reply %d %v", r.Status, r.Err)
		}
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("%d connections", got)
	}
}

// The body is read within the context, however slowly it comes.
func TestBodyIsReadUnderTheContext(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"half":`))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	p := open(t, openai.Config{BaseURL: url})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := p.Call(ctx, call("{}"))
	if !errors.Is(r.Err, context.DeadlineExceeded) || r.Status != 200 {
		t.Errorf("reply %+v", r)
	}
	if f := policy.Classify(r); f == nil || f.Class != policy.Timeout {
		t.Errorf("fault %+v", f)
	}
}

func TestReplyTooLong(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 1001))
		if r.Header.Get("X-Client-Request-Id") == "chunked" {
			w.(http.Flusher).Flush()
		}
	})
	for _, id := range []string{"whole", "chunked"} {
		p := open(t, openai.Config{BaseURL: url, MaxReply: 1000})
		c := call("{}")
		c.ID = id
		if r := p.Call(t.Context(), c); r.Err == nil || r.Body != nil {
			t.Errorf("reply %+v", r)
		}
		if r := open(t, openai.Config{BaseURL: url, MaxReply: 1001}).Call(t.Context(), c); r.Err != nil || len(r.Body) != 1001 {
			t.Errorf("reply of %d bytes, %v", len(r.Body), r.Err)
		}
	}
}

// The key is asked for at each call, as it may have been mended.
func TestKeyOfEachCall(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%q", r.Header["Authorization"])
	})
	keys := []string{"one", "", "two"}
	p := open(t, openai.Config{BaseURL: url, Key: func() string {
		k := keys[0]
		keys = keys[1:]
		return k
	}})
	for _, want := range []string{`["Bearer one"]`, `[]`, `["Bearer two"]`} {
		if r := p.Call(t.Context(), call("{}")); string(r.Body) != want {
			t.Errorf("%s, want %s", r.Body, want)
		}
	}
}

// A key or prompt is not taken to another host.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	thief, visits := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief, status) })
		p := open(t, openai.Config{BaseURL: url, Key: func() string { return "k" }})
		if r := p.Call(t.Context(), call("{}")); r.Status != status || r.Err != nil {
			t.Errorf("%d: reply %+v", status, r)
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d visits", n)
	}
}

const secret = "sk-SECRET"

// Whatever somebody took for a base URL, the error does not repeat it.
func TestBaseURLErrors(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"", secret, "https//" + secret, "ftp://" + secret, "https:" + secret, "https:///" + secret,
		"https://" + secret + "@host/v1", "https://user:" + secret + "@host", "https://host/v1?key=" + secret,
		"https://host/v1#" + secret, "https://host/%zz" + secret, "https://ho st/" + secret, "https://host:" + secret,
		"https://host/v1?",
	} {
		_, err := openai.New(openai.Config{BaseURL: base})
		if err == nil {
			t.Errorf("%q is taken", base)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", base, err)
		}
	}
}

// Errors of the transport name neither address nor key.
func TestErrorsAreBare(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for name, c := range map[string]openai.Config{
		"refused": {BaseURL: closed.URL + "/" + secret},
		"key":     {BaseURL: closed.URL, Key: func() string { return secret + "\n" }},
		"model":   {BaseURL: closed.URL, Model: "m"},
	} {
		r := open(t, c).Call(t.Context(), call(`{"messages":"`+secret))
		if r.Err == nil || strings.Contains(r.Err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}
