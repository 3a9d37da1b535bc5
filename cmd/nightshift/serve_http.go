package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nightshift/consumer"
	"nightshift/policy"
)

// answerWait bounds the wait for the broker in a probe and in a scrape.
const answerWait = 5 * time.Second

// listen serves health and metrics until stop is called.
func (v *server) listen(ctx context.Context) (stop func(), err error) {
	address := firstOf(v.flags.listen, v.config.Serve.Listen, defaultListen)
	if address == listenOff {
		return func() {}, nil
	}
	if err := checkListen(address); err != nil {
		return nil, usageError{err}
	}
	token, err := v.config.Serve.token()
	if err != nil {
		return nil, err
	}
	if token == "" && !loopback(address) {
		return nil, usageError{hint(fmt.Errorf("listen: other machines reach %s, and no token is asked for", address),
			"set serve: token_env or token_file in %s, or listen on 127.0.0.1", defaultConfigFile)}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, hint(fmt.Errorf("listen for health and metrics: %w", err), "give another --listen HOST:PORT, or --listen %s", listenOff)
	}
	srv := &http.Server{Handler: v.handler(token), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends by Close
	}()
	v.log.Info().Stringer("address", l.Addr()).Msg("health and metrics")
	return func() { _ = srv.Close(); <-done }, nil
}

func (v *server) handler(token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", v.healthz)
	mux.HandleFunc("GET /readyz", v.readyz)
	mux.Handle("GET /metrics", guarded(token, promhttp.HandlerFor(v.metrics.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 2, ErrorHandling: promhttp.ContinueOnError,
	})))
	return mux
}

// guarded asks for a bearer token. It compares hashes, so that the time tells neither the token nor
// its length.
func guarded(token string, h http.Handler) http.Handler {
	if token == "" {
		return h
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(given))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// healthz says that the process lives and, once it is open, that the broker answers. A store that
// cannot be written is no reason to kill it: answers wait in its memory until it can.
func (v *server) healthz(w http.ResponseWriter, r *http.Request) {
	if err := v.brokerAnswers(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// brokerAnswers is nil too while the broker is being opened: a large store takes its time, and to
// kill the process would not help.
func (v *server) brokerAnswers(ctx context.Context) error {
	s := v.session.Load()
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	if err := s.broker.Conn().FlushWithContext(ctx); err != nil {
		return errors.New("check broker: it does not answer")
	}
	return nil
}

// readiness is what /readyz says.
type readiness struct {
	Ready  bool     `json:"ready"`
	Reason string   `json:"reason,omitempty"`
	Queues []string `json:"queues,omitempty"`
	// Held providers and paused queues keep their jobs, and make nothing unready.
	Held   map[string]policy.Class `json:"held,omitempty"`
	Paused []pausedQueue           `json:"paused,omitempty"`
}

type pausedQueue struct {
	Scope  consumer.PauseScope `json:"scope"`
	Name   string              `json:"name"`
	Reason string              `json:"reason"`
	Until  time.Time           `json:"until,omitzero"`
}

func (v *server) readyz(w http.ResponseWriter, r *http.Request) {
	s := v.readiness(r.Context())
	w.Header().Set("Content-Type", "application/json")
	if !s.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(s) // who asked may have gone
}

func (v *server) readiness(ctx context.Context) readiness {
	now := v.current()
	switch {
	case v.leaving.Load():
		return readiness{Reason: "stopping"}
	case now == nil || !v.ready.Load():
		return readiness{Reason: "starting"}
	}
	state := readiness{Ready: true, Queues: now.queues, Held: map[string]policy.Class{}}
	if v.brokerAnswers(ctx) != nil {
		state.Ready, state.Reason = false, "the broker is out of reach"
	} else if v.session.Load().broker.Health() != nil {
		state.Ready, state.Reason = false, "the store cannot be written: is the disk full?"
	}
	stats := now.Stats()
	for name, p := range stats.Providers {
		if p.Hold != nil {
			state.Held[name] = p.Hold.Class
		}
	}
	for _, p := range stats.Pauses {
		state.Paused = append(state.Paused, pausedQueue{p.Scope, p.Name, p.Reason, p.Until})
	}
	return state
}
