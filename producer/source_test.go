package producer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"nightshift/producer"
)

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func zipped(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// open returns a source of a file named batch.jsonl with text in it.
func open(tb testing.TB, text string) *producer.Source {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "batch.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	src, err := producer.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := src.Close(); err != nil {
			tb.Error(err)
		}
	})
	return src
}

// readLines returns "number:text" of each line, and the error that ended them.
func readLines(t *testing.T, src *producer.Source) ([]string, error) {
	t.Helper()
	var got []string
	for line, err := range src.Lines(t.Context()) {
		if err != nil {
			return got, err
		}
		got = append(got, fmt.Sprintf("%d:%s", line.Number, line.Data))
	}
	return got, nil
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"only blank lines", "\n\r\n \t\n\n", nil},
		{"only a BOM", "\ufeff", nil},
		{"one", "a\n", []string{"1:a"}},
		{"without a last newline", "a\nb", []string{"1:a", "2:b"}},
		{"CRLF", "a\r\nb\r\n", []string{"1:a", "2:b"}},
		{"CR within", "a\rb\r\r\n", []string{"1:a\rb\r"}},
		{"BOM", "\ufeffa\n\ufeffb\n", []string{"1:a", "2:\ufeffb"}},
		{"blank lines count", "\n\na\n \r\n\tb\n\n", []string{"3:a", "5:\tb"}},
		{"NUL is not blank", "\x00\n", []string{"1:\x00"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{test.text, zipped(t, test.text)} {
				got, err := readLines(t, open(t, text))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// Lines around the size of the read buffer come whole, whatever ends them.
func TestLinesLongerThanTheBuffer(t *testing.T) {
	t.Parallel()
	const buffer = 64 << 10
	for _, ending := range []string{"\n", "\r\n"} {
		var text strings.Builder
		var want []string
		for i, size := range []int{buffer - 2, buffer - 1, buffer, buffer + 1, 2*buffer - 1, 2 * buffer, 5 * buffer, 1} {
			line := strings.Repeat(string(rune('a'+i)), size)
			text.WriteString(line + ending)
			want = append(want, fmt.Sprintf("%d:%s", i+1, line))
		}
		got, err := readLines(t, open(t, text.String()))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, or lines differ", ending, err)
		}
	}
}

func TestSourceIsReadMoreThanOnce(t *testing.T) {
	t.Parallel()
	src := open(t, "a\nb\nc\n")
	for _, reading := range src.Lines(t.Context()) {
		got, err := readLines(t, src) // while another reader is at work
		if reading != nil || err != nil || len(got) != 3 {
			t.Fatal(got, err, reading)
		}
	}
}

func TestLinesStopWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range open(t, "a\nb\n").Lines(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) || n != 1 {
				t.Error(n, err)
			}
			return
		}
		n++
		cancel()
	}
	t.Error("read to the end")
}

func checkSourceError(t *testing.T, err error, want string, is error) {
	t.Helper()
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Fatalf("error %v has no hint", err)
	}
	for _, text := range []string{err.Error(), hinted.Hint()} {
		if strings.ContainsRune(text, '\n') || strings.Contains(text, marker) {
			t.Errorf("error %q", text)
		}
	}
	if !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %q, want …%q", err, want)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error %v is not %v", err, is)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := producer.Open(dir)
	checkSourceError(t, err, "open "+dir+": is a directory", nil)
	missing := filepath.Join(dir, "missing.jsonl")
	_, err = producer.Open(missing)
	checkSourceError(t, err, "open "+missing+": no such file or directory", fs.ErrNotExist)
	_, err = producer.Open(os.DevNull)
	checkSourceError(t, err, "not a regular file", nil)
}

func TestUnreadableText(t *testing.T) {
	t.Parallel()
	whole := zipped(t, strings.Repeat(`{"custom_id":"a","body":`+body+"}\n", 1000))
	flipped := []byte(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	for _, test := range []struct{ name, text, want string }{
		{"gzip without a header", "\x1f\x8b", "read batch.jsonl: the gzip data ends too early"},
		{"gzip of another kind", "\x1f\x8b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "read batch.jsonl: the gzip data is damaged"},
		{"gzip truncated early", whole[:20], "read batch.jsonl: the gzip data ends too early"},
		{"gzip truncated", whole[:len(whole)/2], "read batch.jsonl: the gzip data ends too early"},
		{"gzip without a checksum", whole[:len(whole)-8], "read batch.jsonl: the gzip data ends too early"},
		{"gzip with a wrong checksum", string(flipped), "read batch.jsonl: the gzip data is damaged"},
		{"gzip overwritten", whole[:12] + "\xff\xff\xff\xff" + whole[16:], "read batch.jsonl: the gzip data is damaged"},
		{"gzip with text after it", whole + "not gzip at all", "read batch.jsonl: the gzip data is damaged"},
		{"UTF-16 from Windows", "\xff\xfe{\x00}\x00\n\x00", "read batch.jsonl: the text is UTF-16"},
		{"empty", "", "read batch.jsonl: no line in it"},
		{"only blank lines", "\ufeff\r\n\n  \n", "read batch.jsonl: no line in it"},
		{"empty gzip", zipped(t, ""), "read batch.jsonl: no line in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, test.text).Validate(t.Context(), producer.Limits{})
			checkSourceError(t, err, test.want, nil)
		})
	}
}

func TestSpool(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\nb\n", zipped(t, "a\nb\n")} {
		dir := t.TempDir()
		src, err := producer.Spool(iotest.OneByteReader(strings.NewReader(text)), dir)
		if err != nil {
			t.Fatal(err)
		}
		if src.Name() != "stdin" {
			t.Errorf("name %q", src.Name())
		}
		got, err := readLines(t, src)
		if want := []string{"1:a", "2:b"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("lines %v, %v", got, err)
		}
		files, _ := os.ReadDir(dir)
		if len(files) != 1 {
			t.Fatalf("%d files", len(files))
		}
		if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		checkEmptyDir(t, dir)
	}
}

func TestSpoolErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := io.MultiReader(strings.NewReader(marker), iotest.ErrReader(io.ErrNoProgress))
	_, err := producer.Spool(broken, dir)
	checkSourceError(t, err, io.ErrNoProgress.Error(), io.ErrNoProgress)
	checkEmptyDir(t, dir)
	_, err = producer.Spool(strings.NewReader(""), filepath.Join(dir, "missing"))
	checkSourceError(t, err, "no such file or directory", fs.ErrNotExist)
}

func checkEmptyDir(t *testing.T, dir string) {
	t.Helper()
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}
