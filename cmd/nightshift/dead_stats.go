package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
)

func (a *app) deadStatsCommand() *cobra.Command {
	var l letterFlags
	by := "class"
	cmd := &cobra.Command{
		Use:     "stats",
		Short:   "Count dead letters by class, queue, batch, model, code or day",
		Example: "  nightshift dead stats\n  nightshift dead stats --by class,model --since 24h",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := l.filter(nil)
			if err != nil {
				return err
			}
			names := strings.Split(by, ",")
			for _, name := range names {
				if _, ok := dimensions()[name]; !ok {
					return usageError{hint(fmt.Errorf("--by %q", by), "use some of %s, separated by commas",
						strings.Join(slices.Sorted(maps.Keys(dimensions())), ", "))}
				}
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadStats(cmd.Context(), s, f, names) })
		},
	}
	l.register(a, cmd)
	cmd.Flags().StringVar(&by, "by", by, "what to count by, separated by commas: class, queue, batch, model, code, day")
	cmd.Flags().BoolVar(&a.flags.json, "json", false, "print one JSON object a line")
	return cmd
}

// dimensions are what letters can be counted by.
func dimensions() map[string]func(*consumer.DeadLetter) string {
	return map[string]func(*consumer.DeadLetter) string{
		"class": func(l *consumer.DeadLetter) string { return string(l.Class) },
		"queue": func(l *consumer.DeadLetter) string { return l.Queue },
		"batch": func(l *consumer.DeadLetter) string { return l.Batch },
		"model": func(l *consumer.DeadLetter) string { return l.Model },
		"code":  func(l *consumer.DeadLetter) string { return l.Code },
		"day":   func(l *consumer.DeadLetter) string { return l.Last.Local().Format(time.DateOnly) },
	}
}

// group is the letters that are alike in what they are counted by.
type group struct {
	by            []string
	count         int
	owner, sample string
}

func (a *app) deadStats(ctx context.Context, s *session, f consumer.Filter, names []string) error {
	groups, all := map[string]*group{}, dimensions()
	for l, err := range s.store.LettersOldest(ctx, f) {
		if err != nil {
			return err
		}
		values := make([]string, len(names))
		for i, name := range names {
			values[i] = all[name](&l)
		}
		key := strings.Join(values, "\x00")
		g := groups[key]
		if g == nil {
			g = &group{by: values, owner: l.Owner}
			groups[key] = g
		}
		if g.owner != l.Owner {
			g.owner = "several"
		}
		g.count++
		g.sample = l.ID()
	}
	sorted := slices.SortedFunc(maps.Values(groups), func(x, y *group) int {
		return cmp.Or(y.count-x.count, slices.Compare(x.by, y.by))
	})
	return a.printGroups(names, sorted)
}

func (a *app) printGroups(names []string, groups []*group) error {
	if len(groups) == 0 {
		printf(a.stderr, "no dead letters\n")
		return nil
	}
	rows := [][]string{append(strings.Split(strings.ToUpper(strings.Join(names, ",")), ","),
		"COUNT", "TO MEND", "FOR EXAMPLE")}
	for _, g := range groups {
		out := map[string]any{"count": g.count, "owner": g.owner, "sample": g.sample}
		var row []string
		for i, name := range names {
			out[name] = g.by[i]
			row = append(row, firstOf(g.by[i], "-"))
		}
		rows = append(rows, append(row, thousands(g.count), g.owner, g.sample))
		if !a.flags.json {
			continue
		}
		if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
			return fmt.Errorf("write standard output: %w", err)
		}
	}
	if !a.flags.json {
		table(a.stdout, rows)
	}
	return nil
}
