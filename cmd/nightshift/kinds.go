package main

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"slices"
	"strings"

	"nightshift/consumer"
	"nightshift/consumer/provider/anthropic"
	"nightshift/consumer/provider/openai"
	"nightshift/consumer/provider/saaslitellm"
)

const (
	anthropicName    = "anthropic"
	anthropicBaseURL = "https://api.anthropic.com/v1"
	anthropicKeyEnv  = "ANTHROPIC_API_KEY"
	saasName         = "saaslitellm"
)

// kinds are what a provider may be.
func kinds() []string { return []string{openAIName, anthropicName, saasName, simName} }

// checkKind finds a kind that there is not, and settings that a kind does not have: they would
// do nothing, and somebody relies on them.
func (p *providerConfig) checkKind() error {
	if !slices.Contains(kinds(), p.Kind) {
		return fmt.Errorf("kind %q: use %s or sim", p.Kind, strings.Join(kinds()[:3], ", "))
	}
	for _, s := range []struct {
		key   string
		set   bool
		kinds []string
	}{
		{"api_version", p.APIVersion != "", []string{openAIName, anthropicName}},
		{"key_header", p.KeyHeader != "", []string{openAIName}},
		{"stream", p.Stream, []string{openAIName, anthropicName, simName}},
		{"stream_idle", p.StreamIdle != 0, []string{openAIName, anthropicName, simName}},
		{"max_tokens", p.MaxTokens != 0, []string{anthropicName}},
		{"raw", p.Raw, []string{anthropicName, saasName}},
		{"team_id", p.TeamID != "", []string{saasName}},
		{"job_type", p.JobType != "", []string{saasName}},
		{"mode", p.Mode != "", []string{saasName}},
		{"state_dir", p.StateDir != "", []string{saasName}},
	} {
		if s.set && !slices.Contains(s.kinds, p.Kind) {
			return fmt.Errorf("%s is not for kind %s, only for %s", s.key, p.Kind, strings.Join(s.kinds, ", "))
		}
	}
	switch {
	case p.MaxTokens < 0 || p.StreamIdle < 0:
		return errors.New("a limit is negative")
	case p.Kind == saasName && (p.TeamID == "" || p.JobType == ""):
		return errors.New("kind saaslitellm needs team_id and job_type")
	case p.Mode != "" && p.Mode != saaslitellm.CreateAndCall && p.Mode != saaslitellm.Jobs:
		return fmt.Errorf("mode %q: use %s or %s", p.Mode, saaslitellm.CreateAndCall, saaslitellm.Jobs)
	case strings.Trim(textproto.TrimString(p.KeyHeader), headerLetters) != "":
		return errors.New("key_header is no header's name")
	}
	return nil
}

const headerLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// anthropicFromEnvironment is the provider of those who have no configuration file. As with
// OpenAI's, the key goes to another address only if --api-key-env names it.
func (a *app) anthropicFromEnvironment() (named, error) {
	p := providerConfig{Kind: anthropicName, BaseURL: anthropicBaseURL}
	if a.flags.baseURL == "" {
		p.APIKeyEnv = anthropicKeyEnv
		if os.Getenv(anthropicKeyEnv) == "" && a.flags.apiKeyEnv == "" {
			return named{}, hint(errors.New("no provider is configured"),
				"set %s, or give a %s", anthropicKeyEnv, defaultConfigFile)
		}
	}
	return named{name: anthropicName, providerConfig: p}, nil
}

// settleKind fills in what depends on the kind.
func (a *app) settleKind(n *named) error {
	switch {
	case n.Kind == anthropicName:
		n.BaseURL = firstOf(n.BaseURL, anthropicBaseURL)
	case n.Kind == openAIName && n.APIVersion != "": // Azure's
		n.KeyHeader = firstOf(n.KeyHeader, "api-key")
	case n.Kind == saasName && n.Mode == saaslitellm.Jobs:
		store, err := a.storeDir()
		if err != nil {
			return err
		}
		n.StateDir, err = expandHome(firstOf(n.StateDir, store+".jobs"))
		return err
	}
	return nil
}

// checkModel is the model that a check calls where none is configured.
func (n named) checkModel() string {
	if n.Kind == anthropicName {
		return firstOf(n.Model, "claude-haiku-4-5")
	}
	return firstOf(n.Model, "gpt-4o-mini")
}

// build makes the provider and returns with it how to end what it started.
func (n named) build(ctx context.Context) (consumer.Provider, func(), error) {
	if n.Kind == simName {
		base, stop, err := startSim(ctx, n.Sim)
		if err != nil {
			return nil, nil, err
		}
		n.BaseURL = base
		p, end, err := n.dial(nil)
		if err != nil {
			stop()
			return nil, nil, err
		}
		return p, func() { end(); stop() }, nil
	}
	key, err := n.key()
	if err != nil {
		return nil, nil, err
	}
	return n.dial(key)
}

// dial makes the provider of its kind.
func (n named) dial(key func() string) (consumer.Provider, func(), error) {
	type closing interface {
		consumer.Provider
		Close()
	}
	var p closing
	var err error
	inFlight := firstOf(n.MaxInFlight, 64)
	switch n.Kind {
	case anthropicName:
		p, err = anthropic.New(anthropic.Config{
			BaseURL: n.BaseURL, Key: key, Model: n.Model, Version: n.APIVersion, MaxTokens: n.MaxTokens,
			Raw: n.Raw, Stream: n.Stream, Idle: n.StreamIdle, MaxInFlight: inFlight,
		})
	case saasName:
		p, err = saaslitellm.New(saaslitellm.Config{
			BaseURL: n.BaseURL, Key: key, Model: n.Model, TeamID: n.TeamID, JobType: n.JobType,
			Mode: n.Mode, StateDir: n.StateDir, Raw: n.Raw, MaxInFlight: inFlight,
		})
	default:
		p, err = openai.New(openai.Config{
			BaseURL: n.BaseURL, Key: key, KeyHeader: n.KeyHeader, APIVersion: n.APIVersion, Model: n.Model,
			Stream: n.Stream, Idle: n.StreamIdle, MaxInFlight: inFlight,
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("provider %s: %w", n.name, err)
	}
	return p, p.Close, nil
}
