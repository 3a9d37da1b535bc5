package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever fits into memory, texts come in the order of their lines, those of none last, and
// nothing stays behind.
func TestSorter(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{1, 100, 1000, 1 << 20} {
		t.Run(fmt.Sprintf("%d bytes", memory), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := &sorter{dir: dir, memory: memory}
			defer s.close()
			type text struct {
				line int
				text string
			}
			var want []text
			random := rand.New(rand.NewPCG(1, uint64(memory)))
			for i, line := range append(random.Perm(500), 0, 0, 0) {
				one := text{line, fmt.Sprintf("%d.%d %s", line, i, strings.Repeat("x", random.IntN(300)))}
				if i%100 == 0 {
					one.text = "" // a text may be empty
				}
				want = append(want, one)
				if err := s.add(line, []byte(one.text)); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortStableFunc(want, func(a, b text) int { return cmp.Compare(uint(a.line)-1, uint(b.line)-1) })
			var got []string
			if err := s.each(func(b []byte) error { got = append(got, string(b)); return nil }); err != nil {
				t.Fatal(err)
			}
			for i, w := range want {
				if i >= len(got) || got[i] != w.text {
					t.Fatalf("%d texts, the one at %d is not of line %d", len(got), i, w.line)
				}
			}
			s.close()
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left)+len(got)-len(want) != 0 {
				t.Errorf("%d texts of %d, left behind %v", len(got), len(want), left)
			}
		})
	}
}

// A disk that cannot take the runs is said, with what to do, and the reader's own error ends it.
func TestSorterErrors(t *testing.T) {
	t.Parallel()
	s := &sorter{dir: filepath.Join(t.TempDir(), "gone"), memory: 1}
	defer s.close()
	err := errors.Join(s.add(1, []byte("a")), s.add(2, []byte("b")))
	if h, ok := errors.AsType[*hinted](err); !ok || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, hint %v", err, h)
	}
	s.dir = t.TempDir()
	enough := errors.New("enough")
	if err := s.each(func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v, want %v", err, enough)
	}
}
