package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"good":             {"store: /x\nproviders:\n  a: {kind: sim, timeout: 30s}\nqueues:\n  q: {provider: a}\n", ""},
		"empty":            {"", ""},
		"unknown key":      {"store: /x\nproviders:\n  a:\n    kind: sim\n    apikey: sk-123\n", `:5: unknown field "apikey"`},
		"unknown at top":   {"stor: /x\n", `:1: unknown field "stor"`},
		"wrong type":       {"providers:\n  a:\n    kind: sim\n    max_in_flight: many\n", ":4: "},
		"wrong duration":   {"providers:\n  a: {kind: sim, timeout: soon}\n", "c.yaml"},
		"no YAML":          {"providers: [\n", "c.yaml:"},
		"kind":             {"providers: {a: {kind: gpt}}\n", `provider a: kind "gpt": use openai, anthropic, saaslitellm or sim`},
		"anthropic":        {"providers: {a: {kind: anthropic, stream: true, stream_idle: 1m, max_tokens: 9, raw: true, api_version: x}}\n", ""},
		"azure":            {"providers: {a: {kind: openai, api_version: x, key_header: api-key}}\n", ""},
		"saaslitellm":      {"providers: {a: {kind: saaslitellm, team_id: t, job_type: j, mode: jobs, state_dir: /x}}\n", ""},
		"no team":          {"providers: {a: {kind: saaslitellm, team_id: t}}\n", "provider a: kind saaslitellm needs team_id and job_type"},
		"mode":             {"providers: {a: {kind: saaslitellm, team_id: t, job_type: j, mode: x}}\n", `provider a: mode "x": use create_and_call or jobs`},
		"stray setting":    {"providers: {a: {kind: openai, raw: true}}\n", "provider a: raw is not for kind openai, only for anthropic, saaslitellm"},
		"header":           {"providers: {a: {kind: openai, key_header: \"a b\"}}\n", "provider a: key_header is no header's name"},
		"negative tokens":  {"providers: {a: {kind: anthropic, max_tokens: -1}}\n", "a limit is negative"},
		"name":             {"providers: {a.b: {kind: sim}}\n", `provider name "a.b"`},
		"negative":         {"providers: {a: {kind: sim, max_in_flight: -1}}\n", "a limit is negative"},
		"unknown provider": {"queues: {q: {provider: b}}\n", `queue q: no provider "b"`},
		"queue name":       {"queues: {a b: {}}\n", `queue name "a b"`},
		"attempts":         {"queues: {q: {attempts: -1}}\n", "attempts is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(path)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			case err != nil && (strings.Contains(err.Error(), "sk-123") || strings.Contains(err.Error(), "\n")):
				t.Errorf("the error shows what stands there: %v", err)
			}
		})
	}
}

// A flag goes over the environment, that over the file, and that over the default.
func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	text := "providers: {p: {kind: sim, model: file, requests_per_minute: 7}}\nqueues: {default: {provider: p}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pick := func(args ...string) named {
		t.Helper()
		a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
		cmd := a.runCommand()
		a.flags.global(cmd.Flags())
		if err := cmd.ParseFlags(append(args, "--config", path)); err != nil {
			t.Fatal(err)
		}
		if err := a.setUp(cmd); err != nil {
			t.Fatal(err)
		}
		n, err := a.pickProvider(defaultQueue)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := pick(); got.Model != "file" || got.RPM != 7 || got.MaxInFlight != 0 {
		t.Errorf("file: %+v", got)
	}
	t.Setenv("NIGHTSHIFT_MODEL", "environment")
	if got := pick(); got.Model != "environment" || got.RPM != 7 {
		t.Errorf("environment: %+v", got)
	}
	if got := pick("--model", "flag"); got.Model != "flag" || got.RPM != 7 {
		t.Errorf("flag: %+v", got)
	}
}
