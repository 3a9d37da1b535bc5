package main

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
)

func (v *verification) print(w io.Writer) {
	row := func(name string, n int, text string, keys []string) {
		if n == 0 && text != "" {
			return
		}
		if len(keys) > 0 {
			text += ": " + strings.Join(keys, ", ")
			if n > len(keys) {
				text += ", …"
			}
		}
		printf(w, "%s\n", strings.TrimRight(fmt.Sprintf("%-11s %-9s  %s", name, thousands(n), fold(text, 23)), " "))
	}
	row("answered", v.answered, "", nil)
	row("dead", v.dead, "", nil)
	row("on queue", v.queued, "", nil)
	row("cancelled", v.cancelled, "without an ending", nil)
	row("to come", v.unsubmitted, "not submitted yet: submit the file again to go on", nil)
	row("missing", v.lost.n, "neither on the queue nor ended", v.lost.keys)
	row("doubled", v.doubled.n, "in two places at once", v.doubled.keys)
	row("orphaned", v.orphaned.n, "not in the file", v.orphaned.keys)
	row("stuck", v.stuck.n, "between two places, and nobody moves it", v.stuck.keys)
}

// wrong is how many jobs are not in their place.
func (v *verification) wrong() int { return v.lost.n + v.doubled.n + v.orphaned.n + v.stuck.n }

func (v *verification) verdict() error {
	switch {
	case v.wrong() == 0:
		printf(v.stderr, "batch %s is whole\n", v.batch.ID)
		return nil
	case v.lost.n > 0:
		return hint(v.broken(), "nightshift verify %s FILE --repair puts missing jobs back", v.batch.ID)
	case v.stuck.n > 0:
		return hint(v.broken(),
			"a worker of queue %s, or nightshift dead replay of the same jobs, takes up what was interrupted",
			v.batch.Queue)
	}
	return v.broken()
}

func (v *verification) broken() error {
	return fmt.Errorf("batch %s: %s not in place", v.batch.ID, plural(v.wrong(), "job"))
}

// repair publishes the missing jobs again. It makes none double: each is looked up before a call.
func (v *verification) repair(ctx context.Context) error {
	if len(v.missing) == 0 {
		printf(v.stderr, "nothing to put back\n")
		return v.verdict()
	}
	if v.flags.dryRun {
		printf(v.stderr, "%s would be put back on queue %s\n", plural(len(v.missing), "job"), v.batch.Queue)
		return nil
	}
	n, err := v.producer.PutBack(ctx, v.src, v.report, v.batch, v.limits, func(key string) bool {
		return v.missing[maphash.String(v.seed, key)]
	})
	if err != nil {
		return hint(fmt.Errorf("%w; %s put back", err, plural(n, "job")), "run the same command again to go on")
	}
	printf(v.stderr, "%s put back on queue %s\n", plural(n, "job"), v.batch.Queue)
	return nil
}
