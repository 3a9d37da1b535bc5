package producer_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"nightshift/producer"
)

// benchLine is a batch line of about size bytes with a prompt of plain words and some escapes.
func benchLine(number, size int) []byte {
	const words = `Say what the sender wants, in \"one\" sentence.\n`
	prompt := strings.Repeat(words, max(0, size-170)/len(words)+1)
	return fmt.Appendf(nil, `{"custom_id":"request-%07d","method":"POST","url":"/v1/chat/completions",`+
		`"body":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"%s"}]}}`, number, prompt)
}

func BenchmarkParseLine(b *testing.B) {
	for _, size := range []int{200, 1400} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			line := benchLine(1, size)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := producer.ParseLine(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{200, 1400} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			line := benchLine(1, size)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := producer.Decode("jobs.q.b", nil, line, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The unit to look at is lines/s.
func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{200, 1400} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			const lines = 500_000
			src, bytes := benchFile(b, lines, size)
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				r, err := src.Validate(b.Context(), producer.Limits{})
				if err != nil || r.Jobs != lines {
					b.Fatal(r.Jobs, r.Errors, err)
				}
			}
			b.ReportMetric(lines*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

func BenchmarkEntries(b *testing.B) {
	const lines = 500_000
	src, bytes := benchFile(b, lines, 200)
	r, err := src.Validate(b.Context(), producer.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bytes)
	for b.Loop() {
		for _, err := range src.Entries(b.Context(), r, producer.Limits{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(lines*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func benchFile(b *testing.B, lines, size int) (*producer.Source, int64) {
	b.Helper()
	var text bytes.Buffer
	for i := range lines {
		text.Write(benchLine(i, size))
		text.WriteByte('\n')
	}
	path := filepath.Join(b.TempDir(), "bench.jsonl")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	src, err := producer.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = src.Close() })
	return src, int64(text.Len())
}
