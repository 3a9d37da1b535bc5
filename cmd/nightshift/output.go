package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// output is the answers file and the errors file of a run. Both are written under another name
// and get their own only when they are whole.
type output struct {
	answers, errors *draft
}

// draft is a file that is being written.
type draft struct {
	name, part string // empty for standard output
	f          *os.File
	w          *bufio.Writer
}

// newOutput opens the drafts, so that a place that cannot be written is known before any call
// is paid for.
func newOutput(stdout io.Writer, name string) (*output, error) {
	o := &output{}
	errorsName := "nightshift.errors.jsonl"
	if name == "-" {
		o.answers = stdoutDraft(stdout)
	} else {
		errorsName = name + ".errors.jsonl"
		var err error
		if o.answers, err = newDraft(name); err != nil {
			return nil, err
		}
	}
	var err error
	if o.errors, err = newDraft(errorsName); err != nil {
		o.answers.abandon()
		return nil, err
	}
	return o, nil
}

func stdoutDraft(w io.Writer) *draft { return &draft{w: bufio.NewWriterSize(w, 64<<10)} }

func newDraft(name string) (*draft, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, hint(fmt.Errorf("output %s is a directory", name), "name a file with -o")
	}
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part")
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the user names it
	if err != nil {
		return nil, hint(fmt.Errorf("output %s cannot be written: %w", name, reason(err)), "name another place with -o")
	}
	return &draft{name: name, part: part, f: f, w: bufio.NewWriterSize(f, 256<<10)}, nil
}

// reason is the bare cause of a file error; the name is said already.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (d *draft) line(b []byte) error {
	if _, err := d.w.Write(b); err != nil {
		return d.fail(err)
	}
	return d.fail(d.w.WriteByte('\n'))
}

func (d *draft) fail(err error) error {
	if err == nil {
		return nil
	}
	return hint(fmt.Errorf("write %s: %w", firstOf(d.name, "standard output"), reason(err)),
		"the answers are safe in the store: make room, or name another place with -o, and run the same command again")
}

// commit gives the draft its name; nothing half-written ever has it.
func (d *draft) commit() error {
	if err := d.w.Flush(); err != nil {
		return d.fail(err)
	}
	if d.f == nil {
		return nil
	}
	err := errors.Join(d.f.Sync(), d.f.Close())
	d.f = nil
	if err == nil {
		err = os.Rename(d.part, d.name)
	}
	return d.fail(err)
}

func (d *draft) abandon() {
	if d.f == nil {
		return
	}
	_ = d.f.Close()
	_ = os.Remove(d.part)
	d.f = nil
}

func (o *output) abandon() {
	o.answers.abandon()
	o.errors.abandon()
}

// commit names both files. Without dead letters there is no errors file, and none of an earlier
// run is left standing.
func (o *output) commit(dead bool) error {
	if err := o.answers.commit(); err != nil {
		return err
	}
	if dead {
		return o.errors.commit()
	}
	o.errors.abandon()
	if err := os.Remove(o.errors.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove outdated %s: %w", o.errors.name, reason(err))
	}
	return nil
}

// summary is what a batch came to, folded from its endings.
type summary struct {
	answered, dead         int
	byClass                map[policy.Class]int
	calls, again, waits    int
	inputTokens, outTokens int
}

func (s *summary) add(e consumer.Ending) {
	m := e.Meta
	s.calls += m.Calls
	s.again += m.Again
	s.waits += m.Waits
	if e.Dead {
		s.dead++
		s.byClass[m.Class]++
		return
	}
	s.answered++
	s.inputTokens += m.InputTokens
	s.outTokens += m.OutputTokens
}

func (s *summary) print(w io.Writer, took time.Duration, o *output) {
	printf(w, "%-10s %s\n", "answered", thousands(s.answered))
	if s.dead > 0 {
		var parts []string
		for _, c := range slices.Sorted(maps.Keys(s.byClass)) {
			parts = append(parts, fmt.Sprintf("%s %s (%s)", thousands(s.byClass[c]), c, c.Owner()))
		}
		printf(w, "%-10s %s: %s\n", "dead", thousands(s.dead), strings.Join(parts, ", "))
	}
	printf(w, "%-10s %s, made twice %s\n", "calls", thousands(s.calls), thousands(s.again))
	printf(w, "%-10s %s in, %s out\n", "tokens", thousands(s.inputTokens), thousands(s.outTokens))
	printf(w, "%-10s %s\n", "time", took.Round(10*time.Millisecond))
	if o.answers.name != "" {
		printf(w, "%-10s %s\n", "answers", o.answers.name)
	}
	if s.dead > 0 {
		printf(w, "%-10s %s\n", "errors", o.errors.name)
	}
}

// writeOutputs reads the endings in the order of the file, many at a time, and writes them.
func (r *runState) writeOutputs(ctx context.Context) (*summary, error) {
	s := &summary{byClass: map[policy.Class]int{}}
	for e, err := range r.endingsInOrder(ctx) {
		if err != nil {
			return nil, err
		}
		s.add(e)
		if !e.Dead {
			if err := r.out.answers.line(e.Line); err != nil {
				return nil, err
			}
			continue
		}
		l, err := r.store.DeadLetter(ctx, r.batch.ID, e.Meta.Class, e.Key)
		if err != nil {
			return nil, err
		}
		if err := r.out.errors.line(l.ErrorLine()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// keysInOrder goes through the keys of the batch in the order of its file.
func (r *runState) keysInOrder(ctx context.Context, yield func(string) bool) error {
	for e, err := range r.src.Entries(ctx, r.report, producer.Limits{}) {
		if err != nil {
			return err
		}
		if e.Err != nil && !r.flags.skipInvalid {
			continue
		}
		if !yield(e.Job.Key) {
			return nil
		}
	}
	return nil
}
