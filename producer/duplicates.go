package producer

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"
)

const (
	firstChunk = 1 << 10 // places: 16 KiB for a small file
	maxChunk   = 1 << 20
)

// place is where a key stands, in 16 bytes: 96 bits of its hash and the line.
//
// Hashes are not compared with the keys they stand for. Among 10,000,000 lines there are 5e13
// pairs, so that two different keys have one hash with a probability of 6e-16: a bad memory cell
// is likelier. The hash is seeded anew for every table, so that nobody can prepare such keys.
type place struct {
	high uint64
	low  uint32
	line uint32
}

func (p place) compare(q place) int {
	if p.high != q.high {
		return cmp.Compare(p.high, q.high)
	}
	if p.low != q.low {
		return cmp.Compare(p.low, q.low)
	}
	return cmp.Compare(p.line, q.line)
}

func (p place) sameKey(q place) bool { return p.high == q.high && p.low == q.low }

// duplicate is a line whose key stands on an earlier one already.
type duplicate struct {
	line, first uint32
}

// places finds the keys that a file has more than once, at 16 bytes a line: a map of ten million
// keys would take fifty times as much. Chunks are as many as a line count has bits at most, are
// sorted one by one and merged without being copied together.
type places struct {
	high, low maphash.Seed
	full      [][]place // each sorted
	chunk     []place
}

func newPlaces() *places {
	return &places{high: maphash.MakeSeed(), low: maphash.MakeSeed()}
}

func (p *places) add(key string, line uint32) {
	if len(p.chunk) == cap(p.chunk) {
		p.next()
	}
	p.chunk = append(p.chunk, place{
		high: maphash.String(p.high, key),
		low:  uint32(maphash.String(p.low, key)), //nolint:gosec // any 32 bits of it will do
		line: line,
	})
}

// next starts a chunk of twice the room, so that a small file has a small table.
func (p *places) next() {
	size := min(max(2*cap(p.chunk), firstChunk), maxChunk)
	p.finish()
	p.chunk = make([]place, 0, size)
}

func (p *places) finish() {
	if len(p.chunk) > 0 {
		slices.SortFunc(p.chunk, place.compare)
		p.full = append(p.full, p.chunk)
	}
	p.chunk = nil
}

// duplicates returns the duplicates by line, each with the first line that has its key.
// It merges twice rather than let the result grow: that would take more than the table has.
func (p *places) duplicates() []duplicate {
	p.finish()
	n := 0
	for range p.repeats() {
		n++
	}
	if n == 0 {
		return nil
	}
	found := make([]duplicate, 0, n)
	for d := range p.repeats() {
		found = append(found, d)
	}
	slices.SortFunc(found, func(a, b duplicate) int { return cmp.Compare(a.line, b.line) })
	return found
}

func (p *places) repeats() iter.Seq[duplicate] {
	return func(yield func(duplicate) bool) {
		var first place // no line has number 0, so that the first place is not taken for a repeat
		for at := range merge(p.full) {
			switch {
			case first.line == 0 || !at.sameKey(first):
				first = at
			case !yield(duplicate{line: at.line, first: first.line}):
				return
			}
		}
	}
}

// merge yields the places of sorted chunks in order. It keeps a heap of what is left of each.
func merge(chunks [][]place) iter.Seq[place] {
	return func(yield func(place) bool) {
		heap := slices.Clone(chunks)
		slices.SortFunc(heap, func(a, b []place) int { return a[0].compare(b[0]) })
		for len(heap) > 0 {
			if !yield(heap[0][0]) {
				return
			}
			heap[0] = heap[0][1:]
			if len(heap[0]) == 0 {
				heap[0] = heap[len(heap)-1]
				heap = heap[:len(heap)-1]
			}
			sink(heap)
		}
	}
}

// sink puts the first chunk where its first place belongs.
func sink(heap [][]place) {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if right := child + 1; right < len(heap) && heap[right][0].compare(heap[child][0]) < 0 {
			child = right
		}
		if heap[i][0].compare(heap[child][0]) <= 0 {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
