package producer_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"nightshift/producer"
)

// sampler is a context that looks at the heap when it is asked whether to go on, which happens
// at every line: so the peak is found without a goroutine and without chance.
type sampler struct {
	context.Context //nolint:containedctx // it is a context
	every, calls    int
	peak            uint64
}

func (s *sampler) Err() error {
	if s.calls++; s.calls%s.every == 0 {
		s.peak = max(s.peak, liveHeap())
	}
	return nil
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Not parallel: other tests would add to the heap.
func TestValidateMemory(t *testing.T) {
	const bytesPerLine = 32
	lines := 2_000_000
	if underRace() { // ten times slower, and with the same bytes a line
		lines = 250_000
	}
	src := numbered(t, lines, func(i int) int { return i / 2 })
	before := liveHeap()
	ctx := &sampler{Context: t.Context(), every: lines / 20}
	r, err := src.Validate(ctx, producer.Limits{})
	if err != nil || r.Jobs != lines/2 || r.Invalid != lines/2 {
		t.Fatal(r.Jobs, r.Invalid, err)
	}
	peak := max(ctx.peak, liveHeap())
	runtime.KeepAlive(r)
	grown := float64(peak-min(before, peak)) / float64(lines)
	t.Logf("%.1f bytes a line", grown)
	if grown > bytesPerLine {
		t.Errorf("%.1f bytes a line, want at most %d", grown, bytesPerLine)
	}
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// numbered returns a source of lines whose ids are id(line).
func numbered(tb testing.TB, lines int, id func(int) int) *producer.Source {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "batch.jsonl")
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriter(file)
	for i := range lines {
		line := strconv.AppendInt(append(w.AvailableBuffer(), `{"custom_id":"r`...), int64(id(i)), 10)
		if _, err := w.Write(append(line, "\",\"body\":{}}\n"...)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	src, err := producer.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = src.Close() })
	return src
}

// The table finds what a map finds, also where it has many chunks.
func TestDuplicatesAgainstAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SampledFrom([]int{1, 2, 1023, 1024, 1025, 3071, 3073, 7169}).Draw(rt, "lines")
		ids := rapid.IntRange(1, 2*lines).Draw(rt, "ids")
		step := rapid.IntRange(1, 1000).Draw(rt, "step")
		id := func(i int) int { return i * step * step % ids }
		src := numbered(t, lines, id)
		r, err := src.Validate(t.Context(), producer.Limits{})
		if err != nil {
			rt.Fatal(err)
		}
		first := map[int]int{}
		for e, err := range src.Entries(t.Context(), r, producer.Limits{}) {
			if err != nil {
				rt.Fatal(err)
			}
			number := id(e.Line - 1)
			want := fmt.Sprintf(`custom_id "r%d" is already on line %d`, number, first[number])
			switch {
			case first[number] == 0 && e.Err == nil:
				first[number] = e.Line
			case e.Err == nil || e.Err.Reason != want:
				rt.Fatalf("line %d: %v, want %s", e.Line, e.Err, want)
			}
		}
		if r.Jobs != len(first) {
			rt.Fatalf("%d jobs, want %d", r.Jobs, len(first))
		}
	})
}
