package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"nightshift/policy"
	"nightshift/producer"
)

const (
	defaultConfigFile = "nightshift.yaml"
	defaultQueue      = "default"
	defaultStoreWords = "$XDG_STATE_HOME/nightshift or ~/.local/state/nightshift"
)

// config is nightshift.yaml. Keys to providers never stand in it: it names the environment
// variable or the file that holds them.
type config struct {
	Store     string                    `yaml:"store"`
	Sync      string                    `yaml:"sync"`
	NATS      natsConfig                `yaml:"nats"`
	Providers map[string]providerConfig `yaml:"providers"`
	Queues    map[string]queueConfig    `yaml:"queues"`
	// Prices are those of models in USD for 1,000,000 tokens; a provider's own go over them.
	Prices policy.Prices `yaml:"prices"`
	// Rules go before the built-in ones that say what a reply means; a provider's before these.
	Rules []policy.Rule `yaml:"rules"`
	// Serve is where nightshift serve listens, Notify who is told what happened.
	Serve  serveConfig    `yaml:"serve"`
	Notify []notifyConfig `yaml:"notify"`
}

type natsConfig struct {
	URL      string `yaml:"url"`
	Creds    string `yaml:"creds"`
	NKey     string `yaml:"nkey"`
	TokenEnv string `yaml:"token_env"`
	CA       string `yaml:"ca"`
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	Replicas int    `yaml:"replicas"`
}

type providerConfig struct {
	Kind        string        `yaml:"kind"`
	BaseURL     string        `yaml:"base_url"`
	APIKeyEnv   string        `yaml:"api_key_env"`
	APIKeyFile  string        `yaml:"api_key_file"`
	Model       string        `yaml:"model"`
	MaxInFlight int           `yaml:"max_in_flight"`
	RPM         int           `yaml:"requests_per_minute"`
	TPM         int           `yaml:"tokens_per_minute"`
	Timeout     time.Duration `yaml:"timeout"`
	ProbeEvery  time.Duration `yaml:"probe_every"`
	Sim         string        `yaml:"sim"`
	Rules       []policy.Rule `yaml:"rules"`
	Prices      policy.Prices `yaml:"prices"`
	// Timeouts are those of single endpoints, beside Timeout for all.
	Timeouts policy.Timeouts `yaml:"timeouts"`

	// Settings that only some kinds have, see checkKind.
	APIVersion string        `yaml:"api_version"`
	KeyHeader  string        `yaml:"key_header"`
	Stream     bool          `yaml:"stream"`
	StreamIdle time.Duration `yaml:"stream_idle"`
	MaxTokens  int           `yaml:"max_tokens"`
	Raw        bool          `yaml:"raw"`
	TeamID     string        `yaml:"team_id"`
	JobType    string        `yaml:"job_type"`
	Mode       string        `yaml:"mode"`
	StateDir   string        `yaml:"state_dir"`
}

// loadConfig reads the file, or nightshift.yaml in the working directory if path is empty and
// there is one. An unknown key is an error that names its line.
func loadConfig(path string) (*config, error) {
	optional := path == ""
	if optional {
		path = defaultConfigFile
	}
	text, err := os.ReadFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return &config{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var c config
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return nil, configError(path, err)
	}
	if err := c.validate(path); err != nil {
		return nil, err
	}
	if err := c.checkMoney(path); err != nil {
		return nil, err
	}
	if err := c.checkServe(path); err != nil {
		return nil, err
	}
	return &c, c.checkRules(path, text)
}

// configError keeps the line and the reason of a YAML error, but not the lines around it: a
// key may stand there by mistake.
func configError(path string, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		return fmt.Errorf("%s: no valid YAML", path)
	}
	return fmt.Errorf("%s:%d: %s", path, y.GetToken().Position.Line, y.GetMessage())
}

func (c *config) validate(path string) error {
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		p := c.Providers[name]
		switch {
		case !producer.ValidName(name):
			return fmt.Errorf("%s: provider name %q: use 1 to 64 of A-Z a-z 0-9 _ -", path, name)
		case p.MaxInFlight < 0 || p.RPM < 0 || p.TPM < 0 || p.Timeout < 0 || p.ProbeEvery < 0 || p.Timeouts.Negative():
			return fmt.Errorf("%s: provider %s: a limit is negative", path, name)
		}
		if err := p.checkKind(); err != nil {
			return fmt.Errorf("%s: provider %s: %w", path, name, err)
		}
	}
	return c.checkQueues(path)
}

// storeDir is where the embedded broker keeps its store.
func (a *app) storeDir() (string, error) {
	if dir := firstOf(a.flags.store, a.config.Store); dir != "" {
		return expandHome(dir)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "nightshift"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", hint(fmt.Errorf("find a place for the store: %w", err), "name one with --store DIR")
	}
	return filepath.Join(home, ".local", "state", "nightshift"), nil
}

func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("expand %s: %w", path, err)
	}
	return filepath.Join(home, rest), nil
}

// firstOf returns the first value that is not zero.
func firstOf[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
