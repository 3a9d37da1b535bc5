package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/consumer"
	"nightshift/policy"
)

// fallbackYAML is a file with a queue q on provider a, whose model is m, and one fallback.
func fallbackYAML(f string) string {
	return "providers: {a: {kind: sim, model: m}, b: {kind: sim}}\nqueues: {q: {provider: a, fallback: [" + f + "]}}\n"
}

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
		"queue": {"providers: {a: {kind: sim}, b: {kind: sim}}\nqueues: {q: {provider: a, context_overflow: sliding_window, on_truncated: retry_with_more, " +
			"max_tokens_ceiling: 9, fallback: [{provider: b, model: x, on: [unavailable, rate_limited], after: 2m}, {provider: a, model: y}]}}\n", ""},
		"fallback nobody":  {fallbackYAML("{provider: c}"), `queue q: fallback 1: no provider "c"`},
		"fallback unnamed": {fallbackYAML("{model: x}"), "fallback 1: provider is missing"},
		"fallback itself":  {fallbackYAML("{provider: a}"), "fallback 1: a is what the queue calls already"},
		"fallback same":    {fallbackYAML("{provider: a, model: m}"), "fallback 1: a is what the queue calls already"},
		"fallback class":   {fallbackYAML("{provider: b, on: [quota]}"), `fallback 1: on: "quota" is none of [context_overflow unavailable`},
		"fallback time":    {fallbackYAML("{provider: b, on: [rate_limited], after: -2m}"), "after: -2m0s is negative"},
		"fallback idle":    {fallbackYAML("{provider: b, after: 2m}"), "after is for rate_limited only"},
		"overflow word":    {"queues: {q: {context_overflow: crop}}\n", `context_overflow: "crop"`},
		"overflow nowhere": {"queues: {q: {context_overflow: fallback}}\n", "context_overflow: fallback, and none is for it"},
		"overflow twice": {"providers: {a: {kind: sim}, b: {kind: sim}}\nqueues: {q: {provider: a, context_overflow: sliding_window, " +
			"fallback: [{provider: b, on: [context_overflow]}]}}\n", "context_overflow: sliding_window, and a fallback is for it too"},
		"truncated": {"queues: {q: {on_truncated: retry}}\n", `on_truncated: "retry"`},
		"attempts":  {"queues: {q: {attempts: -1}}\n", "attempts is negative"},
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

// The queue of a single run has the settings of the default queue. A provider named on the command
// line is the only one that is called.
func TestQueueOfARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	text := "providers: {a: {kind: sim}, b: {kind: sim}}\nqueues: {default: {provider: a, attempts: 7, on_truncated: dead, " +
		"context_overflow: sliding_window, fallback: [{provider: b, model: \"ft:x\"}, {provider: a, model: y, on: [content_filtered]}]}, other: {provider: b}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	queue := func(a *app, name string) (consumer.Queue, int) {
		t.Helper()
		var used accounts
		defer used.stop()
		q, err := a.addQueue(t.Context(), &used, name)
		if err != nil {
			t.Fatal(err)
		}
		return q, len(used.all)
	}
	q, n := queue(&app{config: c}, "batch-of-a-run")
	if q.Account != "a" || q.Attempts != 7 || !q.SlidingWindow || q.OnTruncated != consumer.DeadLetterTruncated || n != 3 ||
		len(q.Fallbacks) != 2 || q.Fallbacks[1].Account != "a/y" {
		t.Fatalf("%d accounts, %+v", n, q)
	}
	// context_overflow goes over the default of on, and a key can hold no colon.
	if f := q.Fallbacks[0]; !strings.HasPrefix(f.Account, "b/ft_x-") || len(f.On) != 1 || f.On[0] != policy.ForOutage {
		t.Errorf("%+v", f)
	}
	if q, n := queue(&app{config: c}, "other"); q.Account != "b" || q.Attempts != 0 || len(q.Fallbacks) != 0 || n != 1 {
		t.Errorf("%d accounts, %+v", n, q)
	}
	if q, n := queue(&app{config: c, flags: flags{provider: "b"}}, defaultQueue); q.Account != "b" || len(q.Fallbacks) != 0 || n != 1 {
		t.Errorf("%d accounts, %+v", n, q)
	}
}
