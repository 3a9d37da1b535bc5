package producer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"iter"
	"math"
	"slices"
	"strconv"
)

const (
	// The default of nats.conf's max_payload, less room for headers.
	defaultMaxLine = 8<<20 - Headroom
	maxErrors      = 20
)

// Limits bound what a batch file may hold.
type Limits struct {
	MaxLine int // bytes without the line ending; 0 is 8 MiB less 64 KiB
}

func (l Limits) maxLine() int { return cmp.Or(l.MaxLine, defaultMaxLine) }

// LineError says why a line is no job. It never holds anything of a prompt.
type LineError struct {
	Line   int    // from 1
	Reason string // one line of text
}

// Error returns the reason after "line N: ".
func (e LineError) Error() string { return "line " + strconv.Itoa(e.Line) + ": " + e.Reason }

// Report is what [Source.Validate] found. Lines is Jobs and Invalid together.
type Report struct {
	Lines   int         // not blank
	Jobs    int         // valid lines
	Invalid int         // lines that are no jobs, duplicates among them
	Errors  []LineError // of the first 20 invalid lines, in order
	Bytes   int64       // of text up to the end of the last line, uncompressed
	// Digest is a sha256 over the lines, joined by newlines. A byte order mark, the kind of line
	// ending and compression make no difference to it; the number of a line does, and so a blank
	// line within the text. A line over the limit counts with its size only: none of it is used.
	Digest [sha256.Size]byte

	duplicates []duplicate // by line
}

// Validate reads the whole file and judges every line as [ParseLine] does; besides, no two lines
// may have the same key, of which the first stays valid, and none may be over the limit. It takes
// 16 bytes a line.
//
// An error is ctx's or a *[SourceError]: the file cannot be read or has no line. What is wrong
// with lines is in the Report.
func (s *Source) Validate(ctx context.Context, l Limits) (Report, error) {
	var r Report
	judge, seen, sum := judge{limits: l}, newPlaces(), newDigest()
	for line, err := range s.lines(ctx, l) {
		if err != nil {
			return Report{}, err
		}
		if int64(line.Number) > math.MaxUint32 {
			return Report{}, &SourceError{text: "read " + s.name + ": too many lines", hint: "split it"}
		}
		sum.add(line)
		r.Lines++
		r.Bytes = line.end
		job, wrong := judge.line(line)
		if wrong != nil {
			r.invalid(*wrong)
			continue
		}
		seen.add(job.Key, uint32(line.Number)) //nolint:gosec // bounded above
	}
	if r.Lines == 0 {
		return Report{}, s.emptyError()
	}
	r.Digest = sum.sum()
	if err := s.addDuplicates(ctx, &r, seen, l); err != nil {
		return Report{}, err
	}
	return r, nil
}

func (s *Source) emptyError() error {
	return &SourceError{
		text: "read " + s.name + ": no line in it",
		hint: `expected lines such as {"custom_id":"1","url":"/v1/chat/completions","body":{…}}`,
	}
}

func (r *Report) invalid(e LineError) {
	r.Invalid++
	if len(r.Errors) < maxErrors {
		r.Errors = append(r.Errors, e)
	}
}

// addDuplicates completes r. The table has no ids in it, so the first few are read again.
func (s *Source) addDuplicates(ctx context.Context, r *Report, seen *places, l Limits) error {
	r.duplicates = seen.duplicates()
	r.Invalid += len(r.duplicates)
	r.Jobs = r.Lines - r.Invalid
	few := r.duplicates[:min(len(r.duplicates), maxErrors)]
	if len(few) == 0 {
		return nil
	}
	judge := judge{limits: l, duplicates: few}
	for line, err := range s.lines(ctx, l) {
		if err != nil {
			return err
		}
		if line.Number != int(judge.duplicates[0].line) {
			continue
		}
		if _, wrong := judge.line(line); wrong != nil {
			r.Errors = append(r.Errors, *wrong)
		}
		if len(judge.duplicates) == 0 {
			break
		}
	}
	slices.SortFunc(r.Errors, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
	r.Errors = r.Errors[:min(len(r.Errors), maxErrors)]
	return nil
}

// Entry is a line of a validated file: a job, or why it is none. What it holds is valid until the
// next iteration.
type Entry struct {
	Line int        // from 1
	Job  Job        // zero with Err
	Data []byte     // the line; nil if it is over the limit
	Err  *LineError // nil for a job
}

// Entries reads the lines of a validated file in order. r and l are Validate's: every line gets
// the verdict it got there. An error ends it: ctx's or a *[SourceError], which also tells when the
// text is no longer the one that was validated; that is known before the last line is yielded.
func (s *Source) Entries(ctx context.Context, r Report, l Limits) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		judge, sum, n := judge{limits: l, duplicates: r.duplicates}, newDigest(), 0
		for line, err := range s.lines(ctx, l) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			n++
			sum.add(line)
			if n >= r.Lines && (n > r.Lines || sum.sum() != r.Digest) {
				yield(Entry{}, s.changedError())
				return
			}
			e := Entry{Line: line.Number, Data: line.Data}
			e.Job, e.Err = judge.line(line)
			if !yield(e, nil) {
				return
			}
		}
		if n < r.Lines {
			yield(Entry{}, s.changedError())
		}
	}
}

func (s *Source) changedError() error {
	return &SourceError{
		text: "read " + s.name + ": the file changed while it was read",
		hint: "run it again when nobody writes to it",
	}
}

// judge gives the verdict on the lines of a file, in order. Without the duplicates it takes
// every line for the first with its key.
type judge struct {
	limits     Limits
	duplicates []duplicate // from here on
	members    members
}

func (j *judge) line(line Line) (Job, *LineError) {
	first := 0
	if len(j.duplicates) > 0 && int(j.duplicates[0].line) == line.Number {
		first = int(j.duplicates[0].first)
		j.duplicates = j.duplicates[1:]
	}
	if line.Data == nil {
		return Job{}, &LineError{line.Number, fmt.Sprintf("%d bytes, expected at most %d",
			line.Size, j.limits.maxLine())}
	}
	job, err := j.members.parseLine(line.Data)
	switch {
	case err != nil:
		return Job{}, &LineError{line.Number, err.Error()}
	case first > 0:
		return Job{}, &LineError{line.Number, fmt.Sprintf("custom_id %s is already on line %d",
			quoteID(job.ID), first)}
	}
	return job, nil
}

// digest is the sha256 of lines, of which the blank ones are only known by the numbers they took.
type digest struct {
	hash    hash.Hash
	number  int
	newline []byte
}

func newDigest() *digest {
	return &digest{hash: sha256.New(), number: 1, newline: []byte("\n")}
}

func (d *digest) add(line Line) {
	for ; d.number < line.Number; d.number++ {
		d.hash.Write(d.newline)
	}
	if line.Data == nil {
		d.hash.Write(strconv.AppendInt([]byte{0}, int64(line.Size), 10))
		return
	}
	d.hash.Write(line.Data)
}

func (d *digest) sum() [sha256.Size]byte { return [sha256.Size]byte(d.hash.Sum(nil)) }
