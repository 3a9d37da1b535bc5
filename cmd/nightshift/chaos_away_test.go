package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A command whose broker is killed under it either goes on, because it starts the broker again, or
// ends with one line and what to do. Nothing is half done: the counts add up, and the same command
// does the rest.
func TestBrokerKilledUnderCommands(t *testing.T) {
	t.Parallel()
	p := simulate(t, "latency=1ms")
	for name, c := range map[string]away{
		"submit":  {args: []string{"submit", "prompts", "--batch", "more", "--queue", "r"}, total: 8_000},
		"cancel":  {args: []string{"cancel", "b", "--yes"}, total: 600, cancelled: 600},
		"delete":  {args: []string{"delete", "a", "--yes"}},
		"replay":  {args: []string{"dead", "replay", "--batch", "a", "--yes"}, total: 600},
		"discard": {args: []string{"dead", "discard", "--batch", "a", "--yes"}, total: 600},
		"edit":    {args: []string{"dead", "edit", "--batch", "a", "--set", "body.n=2", "--yes"}, total: 600},
		"repair":  {args: []string{"verify", "b", "b.jsonl", "--repair"}, total: 600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.survive(t, p)
		})
	}
}

// away is a command whose broker goes away.
type away struct {
	args             []string
	total, cancelled int // of its batch, in the end; no total: it is gone
}

func (c away) batch() string {
	for i, arg := range c.args {
		if arg == "--batch" {
			return c.args[i+1]
		}
	}
	return c.args[1]
}

// prepare makes a store with a batch a that has dead letters and a batch b on the queue.
func (c away) prepare(t *testing.T, dir string, p *provider) []string {
	t.Helper()
	bad := func(i int) string {
		if i%3 == 0 {
			return "[[sim:400]]"
		}
		return plain(i)
	}
	a, b := prompts(t, dir, "a", 600, bad), prompts(t, dir, "b", 600, plain)
	if err := os.Rename(b, filepath.Join(dir, "b.jsonl")); err != nil {
		t.Fatal(err)
	}
	start(t, dir, "submit", a, "--batch", "a", "--queue", "q", "--store", "store").must(exitOK)
	worker(t, dir, p, "--drain").must(exitOK)
	start(t, dir, "submit", "b.jsonl", "--batch", "b", "--queue", "idle", "--store", "store").must(exitOK)
	args := append(slices.Clone(c.args), "--store", "store")
	for i := range args {
		if args[i] == "prompts" {
			args[i] = prompts(t, dir, "more", 8_000, plain)
		}
	}
	return args
}

func (c away) survive(t *testing.T, p *provider) {
	t.Helper()
	dir := t.TempDir()
	args := c.prepare(t, dir, p)
	host := owner(t, dir, p)
	cmd := start(t, dir, args...)
	after := time.Duration(rand.IntN(150)) * time.Millisecond
	time.Sleep(after) // somewhere in the middle of it
	host.kill()
	code := cmd.code()
	t.Logf("killed after %v, exit code %d", after, code)
	words := cmd.stderr.String()
	clean := code == exitError && strings.Count(words, "nightshift: ") == 1 && strings.Contains(words, "\nhint: ")
	if code != exitOK && !clean {
		t.Errorf("exit code %d:\n%.2000s", code, words)
	}
	if c.total > 0 || code != exitOK {
		c.adds(t, dir, code)
	}
	again := start(t, dir, args...)
	if got := again.code(); got != exitOK && code != exitOK {
		t.Errorf("the same command again: exit code %d:\n%.2000s", got, again.stderr)
	}
	if s := c.adds(t, dir, exitOK); s.Total != c.total || s.Cancelled != c.cancelled {
		t.Errorf("in the end %+v, want %d with %d cancelled", s, c.total, c.cancelled)
	}
}

// places is where the jobs of a batch are.
type places struct {
	Total     int `json:"total"`
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	Waiting   int `json:"waiting"`
	Answered  int `json:"answered"`
	Dead      int `json:"dead"`
	Cancelled int `json:"cancelled"`
	Missing   int `json:"missing"`
}

// adds wants the counts of the batch to add up. Before the first chunk of a submission was stored,
// and after a deletion, there is none.
func (c away) adds(t *testing.T, dir string, code int) places {
	t.Helper()
	look := start(t, dir, "status", c.batch(), "--json", "--store", "store")
	none := look.code() != exitOK && strings.Contains(look.stderr.String(), "no such batch")
	if none && (code != exitOK || c.total == 0) {
		return places{}
	}
	look.must(exitOK)
	var r struct {
		Batches []places `json:"batches"`
	}
	if err := json.Unmarshal([]byte(look.stdout.String()), &r); err != nil || len(r.Batches) != 1 {
		t.Fatalf("%v: %.400s", err, look.stdout)
	}
	s := r.Batches[0]
	if s.Queued+s.Running+s.Waiting+s.Answered+s.Dead+s.Cancelled != s.Total || s.Missing != 0 {
		t.Errorf("the counts do not add up: %+v", s)
	}
	return s
}
