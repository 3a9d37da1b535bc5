package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A provider that is held makes nothing unready, and is listed.
func TestServeHeld(t *testing.T) {
	t.Parallel()
	p := simulate(t, "fault=invalid_api_key")
	s := serveIn(t, acme(p.base, 4))
	s.isReady(t)
	s.submit(t, "night", 5)
	s.while("the hold", func() bool {
		code, body := s.get(t, "/readyz")
		return code == http.StatusOK && strings.Contains(body, `"held":{"acme":"auth"}`)
	})
	_, metrics := s.get(t, "/metrics")
	if value(metrics, `nightshift_provider_hold_info{class="auth",provider="acme"}`) != 1 {
		t.Errorf("metrics:\n%s", metrics)
	}
	s.signal(t, syscall.SIGTERM)
	s.must(exitOK)
}

// A token guards the metrics, wherever it listens, and nothing else.
func TestServeToken(t *testing.T) {
	t.Parallel()
	s := serveIn(t, "serve: {token_env: SCRAPE_TOKEN}\nproviders:\n  acme: {kind: sim}\n", "SCRAPE_TOKEN=right")
	s.isReady(t)
	for given, want := range map[string]int{"": 401, "Bearer wrong": 401, "Basic right": 401, "Bearer right": 200, "bearer right": 200} {
		if code, _ := s.get(t, "/metrics", "Authorization", given); code != want {
			t.Errorf("%q: %d, want %d", given, code, want)
		}
	}
	if code, _ := s.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz %d", code)
	}
	if strings.Contains(s.stderr.String(), "right") {
		t.Errorf("the token is in the log:\n%s", s.stderr)
	}
}

// systemd hears of the start, of each reload, of life and of the end.
func TestServeSystemd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n.sock")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said := make(chan string, 1000)
	go func() {
		defer close(said)
		for buf := make([]byte, 4096); ; {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			said <- string(buf[:n])
		}
	}()
	hear := func(want string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			select {
			case m := <-said:
				if strings.HasPrefix(m, want) {
					return m
				}
			case <-ctx.Done():
				t.Fatalf("waited in vain for %s", want)
			}
		}
	}
	config := "providers:\n  acme: {kind: sim}\n"
	s := serveIn(t, config, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=200000")
	hear("READY=1")
	if code, body := s.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("ready, and %d %s", code, body)
	}
	hear("WATCHDOG=1")
	s.signal(t, syscall.SIGHUP)
	if m := hear("RELOADING=1"); !regexp.MustCompile(`\nMONOTONIC_USEC=[1-9][0-9]+$`).MatchString(m) {
		t.Errorf("%q", m)
	}
	hear("READY=1")
	s.signal(t, syscall.SIGTERM)
	hear("STOPPING=1")
	s.must(exitOK)
}

// While calls finish at the end it is alive and not ready.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	p := simulate(t, "latency=1500ms")
	s := serveIn(t, acme(p.base, 4))
	s.isReady(t)
	s.submit(t, "night", 4)
	s.while("calls", func() bool { return p.stats().InFlight == 4 })
	s.signal(t, syscall.SIGTERM)
	s.while("the end of readiness", func() bool {
		code, body := s.get(t, "/readyz")
		var r readiness
		return code == http.StatusServiceUnavailable && json.Unmarshal([]byte(body), &r) == nil && r.Reason == "stopping"
	})
	s.must(exitOK)
	if twice, _ := p.more(); len(twice) > 0 || p.stats().Answered != 4 {
		t.Errorf("%+v", p.stats())
	}
	start(t, s.dir, "results", "night", "--store", "state", "-o", "a.jsonl").must(exitOK)
}
