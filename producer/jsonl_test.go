package producer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nightshift/producer"
)

func job(id string) string { return `{"custom_id":"` + id + `","body":` + body + `}` }

func validate(tb testing.TB, text string, l producer.Limits) producer.Report {
	tb.Helper()
	r, err := open(tb, text).Validate(tb.Context(), l)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestValidate(t *testing.T) {
	t.Parallel()
	long := job("long" + strings.Repeat("x", 500))
	for _, test := range []struct {
		name          string
		lines         []string
		jobs, invalid int
		errors        []string
	}{
		{"good", []string{job("a"), job("b")}, 2, 0, nil},
		{"blank lines", []string{"", job("a"), " ", job("b"), ""}, 2, 0, nil},
		{"duplicate", []string{job("a"), "", job("b"), job("a")}, 2, 1, []string{
			`line 4: custom_id "a" is already on line 1`,
		}},
		{"three times", []string{job("a"), job("a"), job("a")}, 1, 2, []string{
			`line 2: custom_id "a" is already on line 1`,
			`line 3: custom_id "a" is already on line 1`,
		}},
		{"duplicate in another spelling", []string{job("a/b"), job(`a\/\u0062`)}, 1, 1, []string{
			`line 2: custom_id "a/b" is already on line 1`,
		}},
		{"duplicate of an invalid line", []string{`{"custom_id":"a"}`, job("a")}, 1, 1, []string{
			`line 1: body is missing`,
		}},
		{"invalid and duplicate", []string{job("a"), `{"custom_id":"a"}`, job("a"), "{"}, 1, 3, []string{
			`line 2: body is missing`,
			`line 3: custom_id "a" is already on line 1`,
			`line 4: the JSON ends too early, at byte 2`,
		}},
		{"too long", []string{job("a"), long, job("b")}, 2, 1, []string{
			fmt.Sprintf("line 2: %d bytes, expected at most 400", len(long)),
		}},
		{"nothing valid", []string{marker, body}, 0, 2, []string{
			"line 1: expected a JSON object",
			"line 2: custom_id is missing",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Join(test.lines, "\n") + "\n"
			r := validate(t, text, producer.Limits{MaxLine: 400})
			if r.Jobs != test.jobs || r.Invalid != test.invalid || r.Lines != r.Jobs+r.Invalid {
				t.Errorf("%d jobs, %d invalid of %d lines", r.Jobs, r.Invalid, r.Lines)
			}
			if diff := cmp.Diff(test.errors, texts(r.Errors), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			checkEntries(t, text, producer.Limits{MaxLine: 400})
		})
	}
}

func texts(errs []producer.LineError) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

// Every bad line is reported with its number and its reason, and shows no prompt.
func TestValidateBadLines(t *testing.T) {
	t.Parallel()
	for _, test := range badLines() {
		if test.name == "UTF-16" {
			continue // a matter of the whole file
		}
		r := validate(t, "\n"+test.line+"\n"+job("good"), producer.Limits{})
		want := []producer.LineError{{Line: 2, Reason: test.want}}
		if r.Jobs != 1 || !slices.Equal(r.Errors, want) {
			t.Errorf("%s: %d jobs, %q", test.name, r.Jobs, r.Errors)
		}
		if strings.Contains(fmt.Sprint(r.Errors), marker) {
			t.Errorf("%s shows the prompt: %v", test.name, r.Errors)
		}
	}
}

func TestValidateKeepsTheFirstErrors(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for range 30 {
		text.WriteString(job("same") + "\n" + marker + "\n")
	}
	r := validate(t, text.String(), producer.Limits{})
	if r.Jobs != 1 || r.Invalid != 59 || len(r.Errors) != 20 {
		t.Fatalf("%d jobs, %d invalid, %d errors", r.Jobs, r.Invalid, len(r.Errors))
	}
	for i, err := range r.Errors {
		if err.Line != i+2 {
			t.Errorf("error %d is on line %d", i, err.Line)
		}
	}
}

func TestMaxLine(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{200, 64 << 10, 300 << 10} {
		for extra := -1; extra <= 3; extra++ {
			frame := len(job(""))
			line := strings.Replace(job("a"), marker, marker+strings.Repeat("x", limit-frame-1+extra), 1)
			for _, ending := range []string{"", "\n", "\r\n"} {
				r := validate(t, line+ending, producer.Limits{MaxLine: limit})
				var want []string
				if extra > 0 {
					want = []string{fmt.Sprintf("line 1: %d bytes, expected at most %d", limit+extra, limit)}
				}
				if diff := cmp.Diff(want, texts(r.Errors)); diff != "" {
					t.Errorf("%d%+d, %q: %s", limit, extra, ending, diff)
				}
			}
		}
	}
	r := validate(t, strings.Repeat("x", 8<<20-64<<10+1)+"\n"+job("a"), producer.Limits{})
	if want := "line 1: 8323073 bytes, expected at most 8323072"; r.Jobs != 1 || r.Errors[0].Error() != want {
		t.Errorf("%d jobs, %v", r.Jobs, r.Errors)
	}
}

// The digest is the text's, not the file's.
func TestDigest(t *testing.T) {
	t.Parallel()
	text := job("a") + "\n\n" + marker + "\n" + job("b") + "\n"
	l := producer.Limits{MaxLine: 400}
	want := validate(t, text, l)
	for name, same := range map[string]string{
		"gzip":             zipped(t, text),
		"gzip in parts":    zipped(t, text[:7]) + zipped(t, text[7:]),
		"CRLF":             strings.ReplaceAll(text, "\n", "\r\n"),
		"BOM":              "\ufeff" + text,
		"no last newline":  strings.TrimSuffix(text, "\n"),
		"blank at the end": text + "\n \n",
	} {
		got := validate(t, same, l)
		ignore := cmpopts.IgnoreFields(producer.Report{}, "Bytes")
		if diff := cmp.Diff(want, got, ignore, cmpopts.IgnoreUnexported(producer.Report{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := validate(t, zipped(t, text), l); got.Bytes != int64(len(text)) {
		t.Errorf("%d bytes, want %d", got.Bytes, len(text))
	}
	for name, other := range map[string]string{
		"a blank line more":    "\n" + text,
		"another invalid line": strings.Replace(text, marker, marker+"!", 1),
		"one job less":         strings.TrimSuffix(text, job("b")+"\n"),
		"a line too long":      text + strings.Repeat("x", 401),
	} {
		if got := validate(t, other, l); got.Digest == want.Digest {
			t.Errorf("%s: the same digest", name)
		}
	}
}

// checkEntries tests that both passes agree with each other and with a plain reading of text.
func checkEntries(tb testing.TB, text string, l producer.Limits) {
	tb.Helper()
	src := open(tb, text)
	r, err := src.Validate(tb.Context(), l)
	if err != nil {
		tb.Fatal(err)
	}
	var jobs, invalid int
	var errs []producer.LineError
	seen := map[string]int{}
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	for e, err := range src.Entries(tb.Context(), r, l) {
		if err != nil {
			tb.Fatal(err)
		}
		if want := plainVerdict(tb, e, lines, l, seen); want != (e.Err == nil) {
			tb.Errorf("line %d: %v, want valid %v", e.Line, e.Err, want)
		}
		if e.Err == nil {
			jobs++
			continue
		}
		invalid++
		errs = append(errs, *e.Err)
	}
	if jobs != r.Jobs || invalid != r.Invalid || jobs+invalid != r.Lines {
		tb.Errorf("entries: %d jobs, %d invalid; report: %+v", jobs, invalid, r)
	}
	if diff := cmp.Diff(errs[:min(20, len(errs))], r.Errors, cmpopts.EquateEmpty()); diff != "" {
		tb.Error(diff)
	}
}

func plainVerdict(tb testing.TB, e producer.Entry, lines []string, l producer.Limits, seen map[string]int) bool {
	tb.Helper()
	text := lines[e.Line-1]
	if e.Line < len(lines) {
		text = strings.TrimSuffix(text, "\r")
	}
	if len(text) > l.MaxLine {
		return e.Data != nil
	}
	if string(e.Data) != text {
		tb.Errorf("line %d: %q, want %q", e.Line, e.Data, text)
	}
	job, err := producer.ParseLine([]byte(text))
	if err != nil || seen[job.Key] > 0 {
		return false
	}
	seen[job.Key] = e.Line
	if e.Err == nil && (e.Job.Key != job.Key || !bytes.Equal(e.Job.Body, job.Body)) {
		tb.Errorf("line %d: %+v, want %+v", e.Line, e.Job, job)
	}
	return true
}

// Once a file has changed, its last job is not handed out any more.
func TestEntriesOfAChangedFile(t *testing.T) {
	t.Parallel()
	before := job("a") + "\n" + job("b") + "\n"
	for name, after := range map[string]string{
		"changed":   job("a") + "\n" + job("c") + "\n",
		"longer":    before + job("c") + "\n",
		"shorter":   job("a") + "\n",
		"moved":     "\n" + before,
		"truncated": "",
	} {
		path := filepath.Join(t.TempDir(), "batch.jsonl")
		write(t, path, before)
		src, err := producer.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := src.Validate(t.Context(), producer.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, after)
		var n int
		var last error
		for _, err := range src.Entries(t.Context(), r, producer.Limits{}) {
			n, last = n+1, err
		}
		checkSourceError(t, last, "read batch.jsonl: the file changed while it was read", nil)
		if n > 3 || name != "longer" && n > 2 {
			t.Errorf("%s: %d entries", name, n)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestValidateStopsWithTheContext(t *testing.T) {
	t.Parallel()
	src := open(t, job("a"))
	r, err := src.Validate(t.Context(), producer.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Validate(ctx, producer.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Validate: %v", err)
	}
	for _, err := range src.Entries(ctx, r, producer.Limits{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Entries: %v", err)
		}
	}
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(job("a")+"\r\n\n"+job("b")+"\n"+job("a")+"\n"+body), 300)
	f.Add([]byte("\ufeff"+job("a")+"\n"+job("a")), 90)
	f.Add([]byte("{}\n{\"custom_id\":\"a\",\"body\":{}}\n{\"body\":{},\"custom_id\":\"\\u0061\"}\r"), 40)
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		l := producer.Limits{MaxLine: max(1, limit)}
		src := open(t, string(text))
		r, err := src.Validate(t.Context(), l)
		if err != nil {
			checkSourceError(t, err, "", nil)
			return
		}
		for _, e := range r.Errors {
			if !utf8.ValidString(e.Reason) || strings.ContainsAny(e.Reason, "\r\n") || len(e.Reason) > 400 {
				t.Errorf("not one short line: %q", e.Reason)
			}
		}
		if bytes.HasPrefix(text, []byte("\x1f\x8b")) {
			return
		}
		checkEntries(t, string(text), l)
		packed := validate(t, zipped(t, string(text)), l)
		if packed.Digest != r.Digest || packed.Jobs != r.Jobs || packed.Bytes != r.Bytes {
			t.Errorf("plain %+v\ngzip %+v", r, packed)
		}
	})
}
