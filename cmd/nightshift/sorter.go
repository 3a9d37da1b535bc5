package main

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sortMemory is how many bytes a sorter holds before it writes them down.
const sortMemory = 32 << 20

// sorter gives texts back in the order of the lines that they belong to, however many there are:
// what does not fit its memory goes to a temporary file, in sorted runs that are merged at the end.
// Reading the store once from front to back and sorting is a tenth of the work of asking it for
// one answer after another.
type sorter struct {
	dir    string // of the temporary file
	memory int    // bytes
	texts  []byte // of all that is held, one after another
	held   []heldText
	file   *os.File // nil as long as all fits
	runs   []int64  // where each run ends in the file
}

type heldText struct {
	line     uint32 // one less than that of the file, so that what is of no line comes last
	from, to int
}

// newSorter keeps what does not fit its memory beside the draft, where there must be room for it
// anyway.
func newSorter(d *draft) *sorter { return &sorter{dir: d.dir(), memory: sortMemory} }

// add takes a text of a line, counted from 1; texts of line 0 come last, in the order they came.
func (s *sorter) add(line int, text []byte) error {
	if len(s.texts) > 0 && len(s.texts)+len(text) > s.memory {
		if err := s.spill(); err != nil {
			return sortError(err)
		}
	}
	from := len(s.texts)
	s.texts = append(s.texts, text...)
	s.held = append(s.held, heldText{uint32(line) - 1, from, len(s.texts)}) //nolint:gosec // a line number fits
	return nil
}

func (s *sorter) sort() {
	slices.SortStableFunc(s.held, func(a, b heldText) int { return cmp.Compare(a.line, b.line) })
}

// spill writes what is held to the file, as a run. The file has no name from the start where the
// system allows it, so that nothing of it stays behind however this process ends.
func (s *sorter) spill() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.dir, ".nightshift-*.sort"); err != nil {
			return err
		}
		_ = os.Remove(s.file.Name()) // else close does it
	}
	s.sort()
	w := bufio.NewWriterSize(s.file, 256<<10)
	var head []byte
	for _, t := range s.held {
		head = binary.AppendUvarint(head[:0], uint64(t.line))
		head = binary.AppendUvarint(head, uint64(t.to-t.from)) //nolint:gosec // no length is negative
		if _, err := w.Write(append(head, s.texts[t.from:t.to]...)); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	end, err := s.file.Seek(0, io.SeekCurrent)
	s.runs = append(s.runs, end)
	s.texts, s.held = s.texts[:0], s.held[:0]
	return err
}

// each gives all texts in order, once. They are the sorter's own until yield returns.
func (s *sorter) each(yield func(text []byte) error) error {
	if s.file == nil {
		s.sort()
		for _, t := range s.held {
			if err := yield(s.texts[t.from:t.to]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return sortError(err)
	}
	s.texts, s.held = nil, nil
	return s.merge(yield)
}

func (s *sorter) merge(yield func(text []byte) error) error {
	runs := make(sortedRuns, 0, len(s.runs))
	start := int64(0)
	for i, end := range s.runs {
		r := &sortedRun{nth: i, r: bufio.NewReaderSize(io.NewSectionReader(s.file, start, end-start), 64<<10)}
		if err := r.next(); err == nil {
			runs = append(runs, r)
		} else if !errors.Is(err, io.EOF) {
			return sortError(err)
		}
		start = end
	}
	heap.Init(&runs)
	for len(runs) > 0 {
		first := runs[0]
		if err := yield(first.text); err != nil {
			return err
		}
		switch err := first.next(); {
		case err == nil:
			heap.Fix(&runs, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(&runs)
		default:
			return sortError(err)
		}
	}
	return nil
}

// close removes the file, whatever has happened.
func (s *sorter) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
		s.file = nil
	}
}

func sortError(err error) error {
	return hint(fmt.Errorf("sort the answers: %w", err),
		"they are safe in the store: give room in the directory of the output, or another -o")
}

// sortedRun is a part of the file, at its next text.
type sortedRun struct {
	nth  int
	r    *bufio.Reader
	line uint64
	text []byte
}

// next is io.EOF at the end of the run.
func (r *sortedRun) next() (err error) {
	if r.line, err = binary.ReadUvarint(r.r); err != nil {
		return err
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return errors.Join(errors.New("a run that ends early"), err)
	}
	r.text = slices.Grow(r.text[:0], int(n))[:n] //nolint:gosec // it was an int when it was written
	_, err = io.ReadFull(r.r, r.text)
	return err
}

// sortedRuns is a heap of runs by their next text; what came first goes first.
type sortedRuns []*sortedRun

func (h sortedRuns) Len() int { return len(h) }
func (h sortedRuns) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].line, h[j].line), cmp.Compare(h[i].nth, h[j].nth)) < 0
}
func (h sortedRuns) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *sortedRuns) Push(x any)   { *h = append(*h, x.(*sortedRun)) } //nolint:forcetypeassert // of heap's interface
func (h *sortedRuns) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	*h = (*h)[:last]
	return r
}
