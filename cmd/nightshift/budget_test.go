package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// However often everything is killed, the provider never works for more than the budget; raised, it
// drains the rest with nothing lost.
func TestBudgetSurvivesKill(t *testing.T) {
	t.Parallel()
	const jobs, limit, kills = 1500, 500_000, 4
	dir := t.TempDir()
	p := simulate(t, "latency=30ms,sigma=0.5,words=15")
	if err := os.WriteFile(filepath.Join(dir, "nightshift.yaml"), []byte("queues: {q: {max_tokens: 20}}\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	file := prompts(t, dir, "paid", jobs, func(i int) string { return strings.Repeat("good night ", 100+i%100) })
	args := runArgs(file, p, "--queue", "q", "--batch", "night", "--budget-tokens", strconv.Itoa(limit),
		"--max-in-flight", "16")
	for i := range kills {
		c := start(t, dir, args...)
		before := p.stats().Answered
		c.while("answers", func() bool { return p.stats().Answered > before+60 })
		if c.ended() {
			t.Fatalf("ended before kill %d: %s", i, c.stderr)
		}
		c.kill()
	}
	c := start(t, dir, args...)
	c.must(exitHeld)
	until(t, "calls whose callers were killed", func() bool { return p.stats().InFlight == 0 })
	s := p.stats()
	t.Logf("spent %d tokens of %d, %d of %d jobs answered:\n%s", s.AnsweredTokens, limit, s.Answered, jobs, c.stderr)
	if s.AnsweredTokens > limit || s.AnsweredTokens < limit/4 {
		t.Errorf("spent %d tokens of %d", s.AnsweredTokens, limit)
	}
	start(t, dir, "budget", "night", "--tokens", strconv.Itoa(100*limit), "--store", "store").must(exitOK)
	start(t, dir, args...).must(exitOK)
	whole(t, answersOf(file), jobs)
}
