package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// maxMemory is what a run may hold at most, the broker's hundred bytes or two for each subject
// included: a tenth of the 1,000,000 prompts that may take 400 MiB beyond the broker's share.
const maxMemory = 400 << 20

// A run holds neither its file nor its answers. The race detector takes memory of its own, so
// this is the binary as people build it.
func TestMemoryOfARun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and answers 100,000 prompts")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "nightshift")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	const n = 100_000
	writeMany(t, filepath.Join(dir, "prompts.jsonl"), n)
	p := simulate(t, "")
	cmd := exec.CommandContext(t.Context(), binary, "run", "prompts.jsonl", "--base-url", p.base,
		"--store", "store", "--sync", "1s", "-o", "answers.jsonl", "--max-in-flight", "256")
	cmd.Dir, cmd.Env = dir, childEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	answers, err := os.ReadFile(filepath.Join(dir, "answers.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(answers, []byte("\n")); lines != n {
		t.Errorf("%d answers to %d prompts", lines, n)
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024 //nolint:forcetypeassert // on every Unix
	t.Logf("%d prompts in %d MiB", n, used>>20)
	if used > maxMemory {
		t.Errorf("a run of %d prompts took %d MiB, more than %d", n, used>>20, maxMemory>>20)
	}
}

func writeMany(t *testing.T, path string, n int) {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"custom_id":"r%d","method":"POST","url":"/v1/chat/completions","body":`+
			`{"model":"m","messages":[{"role":"user","content":"Say %d"}]}}`+"\n", i, i)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
