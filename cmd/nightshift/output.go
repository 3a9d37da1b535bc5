package main

import (
	"cmp"
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
)

// output is the answers file and the errors file of a run. Both are written under another name
// and get their own only when they are whole.
type output struct {
	answers, errors *draft
}

// newOutput looks at both places, so that one that cannot be written is known before any call
// is paid for.
func newOutput(stdout io.Writer, name, input string) (o *output, err error) {
	o = &output{answers: stdoutDraft(stdout)}
	if name != "-" {
		if o.answers, err = newDraft(name); err != nil {
			return nil, err
		}
	}
	if o.errors, err = newDraft(errorsName(o.answers, input)); err != nil {
		return nil, err
	}
	for _, d := range []*draft{o.answers, o.errors} {
		if d.part != "" && sameFile(d.path, input) {
			return nil, usageError{hint(fmt.Errorf("%s is both the input and the output", input),
				"name another file with -o")}
		}
	}
	return o, nil
}

// outputName is where the answers go: named by the user, or beside the working directory's
// other files, after the input.
func outputName(output, input string) string {
	switch {
	case output != "":
		return output
	case input == "-":
		return "-"
	}
	return stem(input) + ".answers.jsonl"
}

// errorsName is where the dead letters go: beside the answers or, when those go to standard
// output or a device, to the working directory.
func errorsName(answers *draft, input string) string {
	switch {
	case answers.gz(): // compressed too
		return strings.TrimSuffix(strings.TrimSuffix(answers.name, ".gz"), ".answers.jsonl") + ".errors.jsonl.gz"
	case answers.part != "":
		return strings.TrimSuffix(answers.name, ".answers.jsonl") + ".errors.jsonl"
	case input == "-":
		return "nightshift.errors.jsonl"
	}
	return stem(input) + ".errors.jsonl"
}

func stem(input string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(input), ".gz"), ".jsonl")
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
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
	bill                   bill
}

func (s *summary) add(e consumer.Ending) {
	m := e.Meta
	s.calls += m.Calls
	s.bill.add(m, e.Dead)
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

// print says what the night came to; now is how many calls this run made of all that the batch
// took.
func (s *summary) print(w io.Writer, took time.Duration, o *output, now int) {
	field := func(name, format string, args ...any) {
		printf(w, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	field("answered", "%s", thousands(s.answered))
	if s.dead > 0 {
		field("dead", "%s", thousands(s.dead))
		printClasses(w, s.byClass, 11)
	}
	if now == s.calls {
		field("calls", "%s, made twice %s", thousands(s.calls), thousands(s.again))
	} else {
		field("calls", "%s now, %s in all, made twice %s", thousands(now), thousands(s.calls), thousands(s.again))
	}
	if s.waits > 0 {
		field("waits", "%s, for a limit, capacity or a hold", thousands(s.waits))
	}
	field("tokens", "%s in, %s out", thousands(s.inputTokens), thousands(s.outTokens))
	s.bill.tell(field)
	if took < time.Minute {
		field("time", "%.1fs", took.Seconds())
	} else {
		field("time", "%s", shortDuration(took))
	}
	if o.answers.name != "" {
		field("answers", "%s", o.answers.name)
	}
	if s.dead > 0 {
		field("errors", "%s", o.errors.name)
	}
}

// printClasses lists dead letters by class, the most frequent first, each with who has to act.
func printClasses(w io.Writer, n map[policy.Class]int, indent int) {
	wide := 0
	for c := range n {
		wide = max(wide, len(c))
	}
	for _, c := range slices.SortedFunc(maps.Keys(n), func(x, y policy.Class) int {
		return cmp.Or(n[y]-n[x], strings.Compare(string(x), string(y)))
	}) {
		printf(w, "%*s%s %-*s  %s\n", indent, "", thousands(n[c]), wide, c, c.Owner())
	}
}
