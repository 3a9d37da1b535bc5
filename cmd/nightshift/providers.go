package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"nightshift/consumer"
	"nightshift/consumer/provider/sim"
	"nightshift/policy"
)

const (
	simName       = "sim"
	openAIName    = "openai"
	openAIBaseURL = "https://api.openai.com/v1"
	openAIKeyEnv  = "OPENAI_API_KEY"
)

// named is a provider's settings and the name they go by.
type named struct {
	name string
	providerConfig
	table *policy.Table // with the user's rules; nil where there are none
}

// pickProvider finds the provider of a queue and lays the flags over its settings.
func (a *app) pickProvider(queue string) (named, error) {
	n, err := a.baseProvider(queue)
	if err != nil {
		return n, err
	}
	f := a.flags
	n.BaseURL = firstOf(f.baseURL, n.BaseURL)
	n.Model = firstOf(f.model, n.Model)
	n.Sim = firstOf(f.sim, n.Sim)
	n.MaxInFlight = firstOf(f.maxInFlight, n.MaxInFlight)
	n.RPM = firstOf(f.rpm, n.RPM)
	n.TPM = firstOf(f.tpm, n.TPM)
	if f.maxInFlight < 0 || f.rpm < 0 || f.tpm < 0 {
		return n, usageError{hint(errors.New("--max-in-flight, --rpm or --tpm is negative"), "leave out what has no limit")}
	}
	if f.timeout != 0 { // over all that the file says
		n.Timeout, n.Timeouts = f.timeout, policy.Timeouts{}
	}
	n.ProbeEvery = firstOf(f.probeEvery, n.ProbeEvery)
	if f.apiKeyEnv != "" {
		n.APIKeyEnv, n.APIKeyFile = f.apiKeyEnv, ""
	}
	if n.Kind != simName && f.sim != "" {
		return n, usageError{hint(errors.New("--sim describes the simulated provider"), "add --provider sim")}
	}
	if err := a.settleKind(&n); err != nil {
		return n, err
	}
	n.Prices = a.config.pricesOf(n.providerConfig)
	n.table, err = newTable(n.Rules, a.config.Rules)
	return n, err
}

func (a *app) baseProvider(queue string) (named, error) {
	name := firstOf(a.flags.provider, a.config.Queues[queue].Provider, a.config.Queues[defaultQueue].Provider)
	configured := slices.Sorted(maps.Keys(a.config.Providers))
	if name == "" && len(configured) == 1 && a.flags.baseURL == "" {
		name = configured[0]
	}
	if p, ok := a.config.Providers[name]; ok {
		return named{name: name, providerConfig: p}, nil
	}
	switch {
	case name == simName:
		return named{name: simName, providerConfig: providerConfig{Kind: simName}}, nil
	case name == anthropicName:
		return a.anthropicFromEnvironment()
	case name != "" && name != openAIName:
		known := slices.Compact(slices.Sorted(slices.Values(append(configured, anthropicName, openAIName, simName))))
		return named{}, usageError{hint(fmt.Errorf("no provider %q", name), "known are: %s", strings.Join(known, ", "))}
	}
	return a.openAIFromEnvironment()
}

// openAIFromEnvironment is the provider of those who have no configuration file. The key of
// OPENAI_API_KEY goes to another address only if --api-key-env names it.
func (a *app) openAIFromEnvironment() (named, error) {
	p := providerConfig{Kind: openAIName, BaseURL: firstOf(os.Getenv("OPENAI_BASE_URL"), openAIBaseURL)}
	if a.flags.baseURL == "" {
		p.APIKeyEnv = openAIKeyEnv
		if os.Getenv(openAIKeyEnv) == "" && a.flags.apiKeyEnv == "" {
			return named{}, hint(errors.New("no provider is configured"),
				"set OPENAI_API_KEY, or give --base-url, or a %s, or --provider sim to try it without one", defaultConfigFile)
		}
	}
	return named{name: openAIName, providerConfig: p}, nil
}

// key returns how to get the API key. A file is read anew for every call, so that a key can be
// mended while the program runs.
func (n named) key() (func() string, error) {
	switch {
	case n.APIKeyFile != "":
		path, err := expandHome(n.APIKeyFile)
		if err != nil {
			return nil, err
		}
		if _, err := os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("provider %s: read api_key_file: %w", n.name, err)
		}
		return func() string {
			b, _ := os.ReadFile(path)
			return strings.TrimSpace(string(b))
		}, nil
	case n.APIKeyEnv != "":
		key := strings.TrimSpace(os.Getenv(n.APIKeyEnv))
		if key == "" {
			return nil, hint(fmt.Errorf("provider %s: the environment variable %s is not set", n.name, n.APIKeyEnv),
				"export %s=… with your API key", n.APIKeyEnv)
		}
		return func() string { return key }, nil
	}
	return nil, nil //nolint:nilnil // many local servers want no key
}

// account is the provider with its limits, for the consumer.
func (n named) account(p consumer.Provider) consumer.Account {
	return consumer.Account{Name: n.name, Provider: p, Model: n.Model, Prices: n.Prices, Guard: policy.GuardConfig{
		MaxInFlight: n.MaxInFlight, RequestsPerMinute: n.RPM, TokensPerMinute: n.TPM,
		Timeout: n.Timeout, Timeouts: n.Timeouts, ProbeEvery: n.ProbeEvery, Classify: n.classify,
	}}
}

// startSim serves the simulated provider on a loopback port: calls to it are real HTTP.
func startSim(ctx context.Context, spec string) (baseURL string, stop func(), err error) {
	c, err := sim.Parse(spec)
	if err != nil {
		return "", nil, specError("--sim", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the simulated provider: %w", err)
	}
	srv := &http.Server{Handler: sim.New(c), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends by Close
	}()
	return "http://" + l.Addr().String() + "/v1", func() { _ = srv.Close(); <-done }, nil
}
