package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/policy"
)

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", -1000: "-1,000", -999: "-999",
		12345678: "12,345,678",
	} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestShortDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 400 * time.Millisecond: "0s", 59 * time.Second: "59s", 59600 * time.Millisecond: "1m00s",
		725 * time.Second: "12m05s", 200 * time.Minute: "3h20m", 52 * time.Hour: "2d4h",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]string{ // output, input, answers, errors
		{"", "in/prompts.jsonl", "prompts.answers.jsonl", "prompts.errors.jsonl"},
		{"", "prompts.jsonl.gz", "prompts.answers.jsonl", "prompts.errors.jsonl"},
		{"", "prompts.txt", "prompts.txt.answers.jsonl", "prompts.txt.errors.jsonl"},
		{"out/a.jsonl", "prompts.jsonl", "out/a.jsonl", "out/a.jsonl.errors.jsonl"},
		{"", "-", "-", "nightshift.errors.jsonl"},
		{"-", "prompts.jsonl", "-", "prompts.errors.jsonl"},
	} {
		answers := outputName(c[0], c[1])
		d := &draft{name: answers, part: answers}
		if answers == "-" {
			d = stdoutDraft(nil)
		}
		if got := [4]string{c[0], c[1], answers, errorsName(d, c[1])}; got != c {
			t.Errorf("%v, want %v", got, c)
		}
	}
}

func TestDraft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	newOne := func() *draft {
		t.Helper()
		d, err := newDraft(name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := newOne()
	check(t, dir, map[string]string{})
	d.abandon()
	if err := newOne().commit(); err != nil { // no line came
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"out": ""})

	d = newOne()
	write(t, d, "one", "two")
	d.abandon()
	d.abandon()
	check(t, dir, map[string]string{"out": ""})

	d = newOne()
	write(t, d, "one", "two")
	if err := d.commit(); err != nil {
		t.Fatal(err)
	}
	d.abandon()
	check(t, dir, map[string]string{"out": "one\ntwo\n"})

	// What a killed run left is not in the way.
	if err := os.WriteFile(filepath.Join(dir, ".out.part"), []byte("half a line that is long"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = newOne()
	write(t, d, "three")
	if err := d.commit(); err != nil {
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"out": "three\n"})
}

// Two runs that write the same file at a time leave the whole of one of them.
func TestDraftTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := strings.Repeat("x", 100_000)
	errs := make(chan error)
	for range 8 {
		go func() {
			d, err := newDraft(filepath.Join(dir, "out"))
			if err == nil {
				err = d.line([]byte(whole))
			}
			if err == nil {
				err = d.commit()
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	check(t, dir, map[string]string{"out": whole + "\n"})
}

func write(t *testing.T, d *draft, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if err := d.line([]byte(l)); err != nil {
			t.Fatal(err)
		}
	}
}

func check(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a word ", 40)
	for line := range strings.Lines(fold(text, 6)) {
		if n := len(strings.TrimRight(line, "\n")); n > columns || strings.HasSuffix(line, " \n") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if got := fold(strings.Repeat("x", 200), 4); strings.Contains(got, "\n") {
		t.Error("a word was broken")
	}
}

func TestHoldText(t *testing.T) {
	t.Parallel()
	h := policy.Hold{
		Provider: "openai", Class: policy.Auth, Status: 401, Code: "invalid_api_key", Words: "Incorrect API key provided.",
		Owner: policy.Auth.Owner(), Remedy: policy.Auth.Remedy(),
	}
	want := "provider openai is held: auth, status 401, code invalid_api_key\nit says: Incorrect API key provided.\n" +
		"operator: Set a valid key for the provider, then resume it.\n"
	if diff := cmp.Diff(want, holdText(&h)); diff != "" {
		t.Error(diff)
	}
}
