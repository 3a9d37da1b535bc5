package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// prompts writes a file of n prompts p-1 to p-n; say is the text of each. name tells apart
// what would be the same batch otherwise.
func prompts(t *testing.T, dir, name string, n int, say func(i int) string) string {
	t.Helper()
	var b bytes.Buffer
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `{"custom_id":"p-%d","method":"POST","url":"/v1/chat/completions","body":`+
			`{"model":"sim","messages":[{"role":"user","content":%q}]}}`+"\n", i, name+" "+say(i))
	}
	path := filepath.Join(dir, name+".jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func plain(int) string { return "good night" }

// line is a line of the answers or of the errors.
type line struct {
	CustomID string `json:"custom_id"`
	Response *struct {
		Status    int    `json:"status_code"`
		RequestID string `json:"request_id"`
	} `json:"response"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

func (l line) number() int {
	n, _ := strconv.Atoi(strings.TrimPrefix(l.CustomID, "p-"))
	return n
}

func linesOf(t *testing.T, path string) (all []line) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(data) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%s: %v: %.200s", path, err, text)
		}
		all = append(all, l)
	}
	return all
}

// whole wants the n prompts of a file in its two outputs, each once, each output in the order
// of the file. The errors may be missing when there are none.
func whole(t *testing.T, answers string, n int) (good, bad []line) {
	t.Helper()
	good = linesOf(t, answers)
	if _, err := os.Stat(answers + ".errors.jsonl"); err == nil {
		bad = linesOf(t, answers+".errors.jsonl")
	}
	seen := map[int]int{}
	for _, lines := range [][]line{good, bad} {
		for i, l := range lines {
			seen[l.number()]++
			if i > 0 && lines[i-1].number() >= l.number() {
				t.Errorf("%s stands before %s", lines[i-1].CustomID, l.CustomID)
			}
		}
	}
	for i := 1; i <= n; i++ {
		if seen[i] != 1 {
			t.Errorf("p-%d ended %d times", i, seen[i])
		}
	}
	if len(seen) != n {
		t.Errorf("%d custom ids of %d prompts", len(seen), n)
	}
	return good, bad
}

// numberIn finds the one number of a pattern in what a process said.
func numberIn(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in:\n%.4000s", pattern, text)
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// madeTwice is what the summary of a run says.
func madeTwice(t *testing.T, c *child) int {
	t.Helper()
	return numberIn(t, c.stderr.String(), `made twice ([\d,]+)`)
}

// emptyQueues wants a store without a job left in it.
func emptyQueues(t *testing.T, dir string) {
	t.Helper()
	c := start(t, dir, "status", "--json", "--store", "store", "--log-level", "error")
	c.must(exitOK)
	var r statusReport
	if err := json.Unmarshal([]byte(c.stdout.String()), &r); err != nil {
		t.Fatal(err)
	}
	for _, q := range r.Queues {
		if q.Queued+q.Held > 0 {
			t.Errorf("left on a queue: %+v", q)
		}
	}
}

// sizeOf adds up the files of a pattern.
func sizeOf(pattern string) (n int64) {
	paths, _ := filepath.Glob(pattern) // it is well formed
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}

func classes(bad []line) (all []string) {
	for _, l := range bad {
		switch {
		case l.Error != nil:
			all = append(all, l.Error.Code)
		case l.Response != nil:
			all = append(all, strconv.Itoa(l.Response.Status))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
