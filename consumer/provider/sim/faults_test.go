package sim_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/consumer/provider/sim"
)

func TestReset(t *testing.T) {
	t.Parallel()
	l := serve(t, "resets=1")
	if r := l.ask(t, "a", "hi"); !errors.Is(r.err, syscall.ECONNRESET) {
		t.Errorf("%+v", r)
	}
	h := sim.New(parse(t, "resets=1"))
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for _, client := range []*http.Client{s.Client(), one(s)} {
		resp, err := client.Post(s.URL+chatPath, "", strings.NewReader(chat("hi")))
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("answered %d", resp.StatusCode)
		}
		client.CloseIdleConnections()
	}
	if r := direct(t, h, "a", "hi"); !errors.Is(r.err, http.ErrAbortHandler) {
		t.Errorf("no connection at all: %+v", r)
	}
	if got := h.Stats(); got.Failed < 3 || got.Failed != got.Calls || got.InFlight != 0 {
		t.Errorf("%+v", got)
	}
}

// one is a client that speaks TLS and HTTP/1.1 only.
func one(s *httptest.Server) *http.Client {
	pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}
}

func TestHalf(t *testing.T) {
	t.Parallel()
	l := serve(t, "half=1")
	r := l.ask(t, "a", "hi")
	if r.status != 200 || !errors.Is(r.err, io.ErrUnexpectedEOF) || r.body == "" {
		t.Errorf("%+v", r)
	}
	r = l.post(t, chatPath, "b", strings.Replace(chat("hi"), "{", `{"stream":true,`, 1))
	if r.err == nil || strings.Contains(r.body, "DONE") || !strings.Contains(r.body, "content") {
		t.Errorf("stream: %+v", r)
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	l := serve(t, "hangs=1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, l.url+chatPath, strings.NewReader(chat("hi")))
	if r := l.do(req); !errors.Is(r.err, context.DeadlineExceeded) {
		t.Errorf("%+v", r)
	}
	for l.Stats().InFlight > 0 { // the server sees it a moment later; the test's own timeout guards
		time.Sleep(time.Millisecond)
	}
	l.Set(parse(t, "hangs=1,hang=10ms"))
	if r := l.ask(t, "b", "hi"); r.err == nil {
		t.Errorf("after the hang: %+v", r)
	}
	if s := l.Stats(); s.Failed != 2 || s.BusySeconds < 0.01 {
		t.Errorf("%+v", s)
	}
}

func TestStrangeReplies(t *testing.T) {
	t.Parallel()
	l := serve(t, "html=1")
	if r := l.ask(t, "a", "hi"); r.status != 502 || r.head.Get("Content-Type") != "text/html" || !strings.Contains(r.body, "<html>") {
		t.Errorf("%+v", r)
	}
	l.Set(parse(t, "garbage=1"))
	if r := l.ask(t, "a", "hi"); r.status != 200 || strings.HasPrefix(r.body, "{") {
		t.Errorf("%+v", r)
	}
	l.Set(parse(t, "slow=1,trickle=50ms"))
	start := time.Now()
	for _, body := range []string{chat("hi"), strings.Replace(chat("hi"), "{", `{"stream":true,`, 1)} {
		if r := l.post(t, chatPath, "a", body); r.status != 200 || r.err != nil || !strings.Contains(r.body, "stop") {
			t.Errorf("%+v", r)
		}
	}
	if d := time.Since(start); d < 100*time.Millisecond {
		t.Errorf("two slow bodies in %s", d)
	}
	if s := l.Stats(); s.Failed != 2 || s.Answered != 2 {
		t.Errorf("%+v", s)
	}
}

// The same seed gives the same faults to the same jobs, whatever the order.
func TestRepeatable(t *testing.T) {
	t.Parallel()
	outcomes := func(spec string) map[string]string {
		h := sim.New(parse(t, spec))
		var mu sync.Mutex
		var wg sync.WaitGroup
		out := map[string]string{}
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < 2000; i += 8 {
					var all []byte
					for range 3 {
						all = append(all, byte('0'+direct(t, h, number(i), "hi").status/100))
					}
					mu.Lock()
					out[number(i)] = string(all)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return out
	}
	const spec = "seed=3,errors=0.2,resets=0.1,bad=0.05,missing=0.05"
	first, second, other := outcomes(spec), outcomes(spec), outcomes("seed=4"+spec[6:])
	differ, permanent, mixed := 0, 0, 0
	for id, got := range first {
		if got != second[id] {
			t.Fatalf("%s: %s, then %s", id, got, second[id])
		}
		if got != other[id] {
			differ++
		}
		if got == "444" {
			permanent++
		}
		if strings.Contains(got, "2") && got != "222" {
			mixed++
		}
	}
	if differ == 0 || permanent < 150 || permanent > 250 || mixed == 0 {
		t.Errorf("differ %d, permanent %d, mixed %d", differ, permanent, mixed)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	h := sim.New(parse(t, "errors=0.1,html=0.2"))
	seen := map[int]int{}
	for i := range 10_000 {
		seen[direct(t, h, number(i), "hi").status]++
	}
	if n := seen[500]; n < 900 || n > 1100 {
		t.Errorf("%d errors", n)
	}
	if n := seen[502]; n < 1850 || n > 2150 {
		t.Errorf("%d pages", n)
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"insufficient_quota": 429, "invalid_api_key": 401, "billing": 402, "permission": 403,
		"credit_balance": 400, "spend_limit": 429, "suspended": 412, "model_not_found": 404,
		"day_quota": 429, "unsupported_country": 403, "account_deactivated": 401, "slow_down": 429,
		"overloaded_error": 529, "server_is_overloaded": 503, "server_error": 500,
	} {
		h := sim.New(parse(t, "fault="+name))
		r := direct(t, h, "a", "hi")
		if r.status != want || dig(t, r.body) == nil || strings.Contains(r.body, "{model}") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if r.head.Get("Retry-After") != "" {
			t.Errorf("%s tells when to come back", name)
		}
		if s := h.Stats(); s.Failed != 1 || s.Refused != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		h.Set(sim.Config{})
		if r := direct(t, h, "a", "hi"); r.status != 200 {
			t.Errorf("%s healed by Set: %+v", name, r)
		}
	}
}

func TestFaultHealsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "fault=billing,until=5s"))
		if r := direct(t, h, "a", "hi"); r.status != 402 {
			t.Errorf("%+v", r)
		}
		time.Sleep(5 * time.Second)
		if r := direct(t, h, "a", "hi"); r.status != 200 {
			t.Errorf("%+v", r)
		}
	})
}

func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "outage=5s-15s,outage_status=502"))
		for at := range 20 {
			want := 200
			if at >= 5 && at < 15 {
				want = 502
			}
			if r := direct(t, h, "a", "hi"); r.status != want {
				t.Errorf("at %d s: %+v", at, r)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestKey(t *testing.T) {
	t.Parallel()
	l := serve(t, "key=sesame")
	if r := l.ask(t, "a", "hi"); r.status != 401 {
		t.Errorf("without: %+v", r)
	} else if _, code, _ := r.failure(t); code != "invalid_api_key" {
		t.Errorf("without: %s", r.body)
	}
	if r := l.get(t, "/v1/models"); r.status != 401 {
		t.Errorf("models: %+v", r)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+chatPath, strings.NewReader(chat("hi")))
	req.Header.Set("Authorization", "Bearer sesame")
	if r := l.do(req); r.status != 200 {
		t.Errorf("with: %+v", r)
	}
}
