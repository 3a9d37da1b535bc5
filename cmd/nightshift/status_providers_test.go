package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// rate is a pace for the tests.
func rate(perMinute float64, from string) policy.Rate {
	return policy.Rate{PerMinute: perMinute, From: from}
}

func TestProvidersOfWorkers(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	one := policy.State{
		Reason: "pace", Window: 10, Ceiling: 32, InFlight: 4, Breaker: "closed", Calls: 100, Refused: 1, Workers: 2,
		Requests: rate(300, "configured"), Tokens: rate(1000, "headers"),
	}
	two := policy.State{
		Reason: "rate limit", Until: soon, Gate: soon, Window: 5, Ceiling: 32, InFlight: 5, Breaker: "half-open",
		Calls: 100, Refused: 9, Workers: 2, Requests: rate(300, "configured"), Tokens: rate(900, "headers"),
	}
	all := providersOf([]consumer.Worker{
		{Providers: map[string]policy.State{"acme": one}}, {Providers: map[string]policy.State{"acme": two}},
	}, nil)
	want := providerStatus{
		Name: "acme", State: "rate limit", Until: soon, Gate: soon, Workers: 2, InFlight: 9, Window: 15, Ceiling: 64,
		Requests: rate(600, "configured"), Tokens: rate(1000, "headers"), Breaker: "half-open", Calls: 200, Refused: 10,
	}
	if len(all) != 1 || all[0] != want {
		t.Errorf("%+v", all)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{
		`"state":"rate limit"`, `"window":15,"ceiling":64`, `"requests":{"per_minute":600,"from":"configured"}`,
		`"tokens":{"per_minute":1000,"from":"headers"}`, `"gate_until":`, `"recent_calls":200,"recent_refused":10`,
	} {
		if !strings.Contains(string(text), field) {
			t.Errorf("%s lacks %s", text, field)
		}
	}
}

// The table of providers fits the narrowest terminal, whatever they are called.
func TestProvidersFitEightyColumns(t *testing.T) {
	t.Parallel()
	r := &statusReport{Providers: []providerStatus{{
		Name: strings.Repeat("x", 64), State: "rate limit", Until: time.Now().Add(20 * time.Hour), Workers: 12,
		InFlight: 4096, Window: 4096, Ceiling: 4096, Calls: 3, Refused: 1,
		Requests: rate(1e6, "configured"), Tokens: rate(1e9, "learned"),
	}}}
	var b bytes.Buffer
	if !r.printProviders(&b) {
		t.Fatal("nothing printed")
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(b.String(), "33.3 %") {
		t.Error(b.String())
	}
}
