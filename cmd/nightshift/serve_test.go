package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// served is a nightshift serve in a directory with its configuration and its store.
type served struct {
	*child
	dir, url string
}

// serveIn starts one with a configuration for a simulated provider.
func serveIn(t *testing.T, config string, env ...string) *served {
	t.Helper()
	s := &served{dir: t.TempDir()}
	s.configure(t, config)
	s.child = startWith(t, s.dir, env, "serve", "--store", "state", "--listen", "127.0.0.1:0", "--log-format", "json")
	address := regexp.MustCompile(`"address":"([^"]+)"`)
	s.while("its address", func() bool { return address.MatchString(s.stderr.String()) })
	if m := address.FindStringSubmatch(s.stderr.String()); m != nil {
		s.url = "http://" + m[1]
	}
	return s
}

func (s *served) configure(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "nightshift.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *served) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// get fetches a path; 0 while nobody answers.
func (s *served) get(t *testing.T, path string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (s *served) isReady(t *testing.T) {
	t.Helper()
	s.while("readiness", func() bool { code, _ := s.get(t, "/readyz"); return code == http.StatusOK })
}

// submit puts n jobs on a queue, from another process.
func (s *served) submit(t *testing.T, batch string, n int) {
	t.Helper()
	file := prompts(t, s.dir, batch+".jsonl", n, plain)
	start(t, s.dir, "submit", file, "--store", "state", "--batch", batch).must(exitOK)
}

// value is that of one line of the metrics, -1 where there is none.
func value(metrics, series string) float64 {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err == nil {
				return v
			}
		}
	}
	return -1
}

func acme(base string, inFlight int) string {
	return fmt.Sprintf("providers:\n  acme: {kind: openai, base_url: %q, max_in_flight: %d}\n"+
		"queues:\n  default: {provider: acme}\nprices:\n  m: {input: 2, output: 8}\n", base, inFlight)
}

// What another process submits is worked and counted, and SIGTERM ends it well.
func TestServe(t *testing.T) {
	t.Parallel()
	p := simulate(t, "latency=5ms")
	s := serveIn(t, acme(p.base, 8))
	s.isReady(t)
	if code, body := s.get(t, "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz %d %q", code, body)
	}
	const n = 40
	s.submit(t, "night", n)
	var metrics string
	s.while("all answered", func() bool {
		_, metrics = s.get(t, "/metrics")
		return value(metrics, `nightshift_jobs_total{outcome="answered",queue="default"}`) == n &&
			value(metrics, `nightshift_store_messages{stream="JOBS"}`) == 0
	})
	_, metrics = s.get(t, "/metrics") // a scrape reads one thing after the other
	for series, want := range map[string]float64{
		`nightshift_calls_total{class="answered",provider="acme"}`:     n,
		`nightshift_call_duration_seconds_count{provider="acme"}`:      n,
		`nightshift_queue_jobs{queue="default",state="queued"}`:        0,
		`nightshift_queue_jobs{queue="default",state="running"}`:       0,
		`nightshift_queue_jobs{queue="(other)",state="queued"}`:        0,
		`nightshift_queue_oldest_job_seconds{queue="default"}`:         0,
		`nightshift_dead_letters{class="bad_request"}`:                 0,
		`nightshift_store_messages{stream="RESULTS"}`:                  n,
		`nightshift_provider_ceiling_calls{provider="acme"}`:           8,
		`nightshift_provider_held{provider="acme"}`:                    0,
		`nightshift_provider_gate_shut_seconds_total{provider="acme"}`: 0,
		`nightshift_ready`:                 1,
		`nightshift_broker_up`:             1,
		`nightshift_scrape_errors`:         0,
		`nightshift_leases_lost_total`:     0,
		`nightshift_duplicate_calls_total`: 0,
	} {
		if got := value(metrics, series); got != want {
			t.Errorf("%s: %v, want %v", series, got, want)
		}
	}
	for _, series := range []string{`nightshift_tokens_total{direction="input",provider="acme"}`, `nightshift_store_bytes{stream="RESULTS"}`} {
		if value(metrics, series) <= 0 {
			t.Errorf("%s is not above 0", series)
		}
	}
	for _, secret := range []string{"night\"", "good night", "batch="} {
		if strings.Contains(metrics, secret) {
			t.Errorf("metrics hold %q", secret)
		}
	}
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	s.signal(t, syscall.SIGTERM)
	s.must(exitOK)
}

// A reload under load loses nothing, calls nothing twice and obeys the new limits. A file with an
// error changes nothing.
func TestServeReload(t *testing.T) {
	t.Parallel()
	p := simulate(t, "latency=150ms")
	s := serveIn(t, acme(p.base, 24))
	s.isReady(t)
	const n = 400
	s.submit(t, "night", n)
	s.while("load", func() bool { return p.stats().Answered > 40 })

	s.configure(t, acme(p.base, 24)+"typo: 1\n")
	s.signal(t, syscall.SIGHUP)
	s.while("the refusal", func() bool { return strings.Contains(s.stderr.String(), "nightshift.yaml:7: unknown field") })
	_, metrics := s.get(t, "/metrics")
	if got := value(metrics, `nightshift_provider_ceiling_calls{provider="acme"}`); got != 24 {
		t.Errorf("ceiling %v after a refused reload", got)
	}

	s.configure(t, "store: elsewhere\n"+acme(p.base, 3)+"  # and a queue more\n"+
		"rules: []\n")
	s.signal(t, syscall.SIGHUP)
	s.while("the reload", func() bool { return strings.Contains(s.stderr.String(), "was read again") })
	if !strings.Contains(s.stderr.String(), `"keys":["store"]`) {
		t.Errorf("nothing said of the store:\n%s", s.stderr)
	}
	s.while("the new limit", func() bool {
		_, metrics = s.get(t, "/metrics")
		return value(metrics, `nightshift_provider_ceiling_calls{provider="acme"}`) == 3
	})
	s.while("the end of the calls of before", func() bool { return p.stats().InFlight <= 3 })
	for range 20 {
		if got := p.stats().InFlight; got > 3 {
			t.Errorf("%d calls in flight", got)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.configure(t, acme(p.base, 24))
	s.signal(t, syscall.SIGHUP)
	answers := `nightshift_jobs_total{outcome="answered",queue="default"}`
	s.while("all answered", func() bool { _, metrics = s.get(t, "/metrics"); return value(metrics, answers) == n })
	if twice, _ := p.more(); len(twice) > 0 || p.stats().MaxInFlight > 24 {
		t.Errorf("called more than once: %v; %+v", twice, p.stats())
	}
	if got := value(metrics, `nightshift_config_reloads_total{result="used"}`); got != 2 {
		t.Errorf("%v reloads", got)
	}
	s.signal(t, syscall.SIGTERM)
	s.must(exitOK)
}
