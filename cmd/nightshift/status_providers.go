package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// providerStatus is what all workers together say of a provider.
type providerStatus struct {
	Name  string `json:"name"`
	State string `json:"state"`
	// Until is when State ends, where it is known.
	Until    time.Time `json:"until,omitzero"`
	Workers  int       `json:"workers"`
	InFlight int       `json:"in_flight"`
	// Window is how many calls may be in flight now, Ceiling what it may grow to.
	Window  int `json:"window"`
	Ceiling int `json:"ceiling"`
	// Requests and Tokens are the pace.
	Requests policy.Rate `json:"requests,omitzero"`
	Tokens   policy.Rate `json:"tokens,omitzero"`
	// Gate is until when the provider asked to be left alone.
	Gate    time.Time    `json:"gate_until,omitzero"`
	Breaker string       `json:"breaker,omitempty"`
	Hold    *policy.Hold `json:"hold,omitempty"`
	// Calls are those of the last five minutes, Refused those of them that were refused by rate
	// or for lack of capacity.
	Calls   int `json:"recent_calls"`
	Refused int `json:"recent_refused"`
}

// providersOf folds what the workers say of each provider.
func providersOf(workers []consumer.Worker, holds []policy.Hold) []providerStatus {
	byName := map[string]*providerStatus{}
	at := func(name string) *providerStatus {
		if byName[name] == nil {
			byName[name] = &providerStatus{Name: name, State: "open"}
		}
		return byName[name]
	}
	for _, w := range workers {
		for name, s := range w.Providers {
			at(name).add(s)
		}
	}
	for _, h := range holds {
		p := at(h.Provider)
		p.State, p.Until, p.Hold = "held", h.Probe, &h
	}
	var all []providerStatus
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, *byName[name])
	}
	return all
}

// add takes in what one worker says.
func (p *providerStatus) add(s policy.State) {
	p.Workers++
	p.InFlight += s.InFlight
	p.Window += s.Window
	p.Ceiling += s.Ceiling
	p.Calls += s.Calls
	p.Refused += s.Refused
	p.Requests, p.Tokens = both(p.Requests, s.Requests), both(p.Tokens, s.Tokens)
	if p.Breaker == "" || s.Breaker != "closed" {
		p.Breaker = s.Breaker
	}
	if s.Gate.After(p.Gate) {
		p.Gate = s.Gate
	}
	if s.Reason != "" && s.Reason != "hold" && (p.State == "open" || s.Until.After(p.Until)) {
		p.State, p.Until = s.Reason, s.Until
	}
}

// both is the pace of workers together. Each has its part of a configured limit and learns what
// is left for it, but headers tell all of them of the same limit.
func both(a, b policy.Rate) policy.Rate {
	switch {
	case a.PerMinute == 0:
		return b
	case b.PerMinute == 0:
		return a
	case a.From == "headers" && b.From == "headers":
		a.PerMinute = max(a.PerMinute, b.PerMinute)
		return a
	}
	return policy.Rate{PerMinute: a.PerMinute + b.PerMinute, From: a.From}
}

func (r *statusReport) printProviders(w io.Writer) bool {
	rows := [][]string{{"PROVIDER", "STATE", "IN FLIGHT", "WINDOW", "WORKERS", "REFUSED"}}
	for _, p := range r.Providers {
		state := p.State
		if p.Hold == nil && time.Until(p.Until) > 0 {
			state += ", " + shortDuration(time.Until(p.Until)+time.Second/2)
		}
		rows = append(rows, []string{
			cut(p.Name, 16), state, thousands(p.InFlight), p.windowText(), thousands(p.Workers), p.refusedText(),
		})
	}
	table(w, rows)
	for _, p := range r.Providers {
		if pace := p.paceText(); pace != "" {
			printf(w, "%s\n", fold(p.Name+": "+pace, 0))
		}
	}
	return len(r.Providers) > 0
}

func (p *providerStatus) windowText() string {
	if p.Ceiling == 0 {
		return "-"
	}
	return thousands(p.Window) + "/" + thousands(p.Ceiling)
}

func (p *providerStatus) refusedText() string {
	if p.Calls == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(p.Refused)/float64(p.Calls))
}

// paceText says what limits the pace, and why.
func (p *providerStatus) paceText() string {
	why := map[string]string{
		"configured": "configured", "headers": "by its headers", "learned": "learned from its refusals",
	}
	var parts []string
	for _, r := range []struct {
		policy.Rate
		of string
	}{{p.Requests, "requests"}, {p.Tokens, "tokens"}} {
		if r.PerMinute > 0 {
			parts = append(parts, fmt.Sprintf("%s %s a minute, %s", thousands(int(r.PerMinute+.5)), r.of, why[r.From]))
		}
	}
	return strings.Join(parts, "; ")
}
