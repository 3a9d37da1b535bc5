package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"nightshift/consumer"
)

func (a *app) deadListCommand() *cobra.Command {
	var l letterFlags
	limit := 0
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, newest first",
		Example: "  nightshift dead list\n  nightshift dead list --batch b3kq2m7xw4zt --class timeout --since 06:00\n" +
			"  nightshift dead list --text 'maximum context' --json",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := l.filter(nil)
			if err != nil {
				return err
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadList(cmd.Context(), s, f, limit) })
		},
	}
	l.register(a, cmd)
	fs := cmd.Flags()
	fs.IntVar(&limit, "limit", 100, "how many at most, 0 for all")
	fs.Uint64Var(&l.Before, "before", 0, "go on before `cursor`, as the page before printed it")
	fs.BoolVar(&a.flags.json, "json", false, "print one JSON object a line; the provider's words may repeat the prompt")
	return cmd
}

func (a *app) deadList(ctx context.Context, s *session, f consumer.Filter, limit int) error {
	head := [][]string{{"CLASS", "OWNER", "STATUS", "LAST", "BATCH/JOB"}}
	rows, n, last := head, 0, uint64(0)
	flush := func() {
		if !a.flags.json && len(rows) > 1 {
			table(a.stdout, rows)
		}
		rows = head
	}
	for l, err := range s.store.Letters(ctx, f) {
		if err != nil {
			return err
		}
		if limit > 0 && n == limit {
			flush()
			printf(a.stderr, "there are more: --before %d\n", last)
			return nil
		}
		n, last = n+1, l.Entry
		if a.flags.json {
			if err := a.letterJSON(&l); err != nil {
				return err
			}
			continue
		}
		if rows = append(rows, letterRow(&l)); len(rows) > 1000 { // enough to align
			flush()
		}
	}
	if flush(); n == 0 {
		printf(a.stderr, "no dead letters\n")
	}
	return nil
}

func letterRow(l *consumer.DeadLetter) []string {
	return []string{string(l.Class), l.Owner, statusText(l.Status), l.Last.Local().Format("Jan _2 15:04"), l.ID()}
}

func (a *app) letterJSON(l *consumer.DeadLetter) error {
	if err := json.NewEncoder(a.stdout).Encode(l); err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	return nil
}

func (a *app) deadWatchCommand() *cobra.Command {
	var l letterFlags
	cmd := &cobra.Command{
		Use:     "watch",
		Short:   "Print dead letters as they come, until Ctrl-C",
		Example: "  nightshift dead watch\n  nightshift dead watch --class auth --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := l.filter(nil)
			if err != nil {
				return err
			}
			err = a.letters(cmd.Context(), f, func(s *session) error { return a.deadWatch(cmd.Context(), s, f) })
			if cmd.Context().Err() != nil {
				return nil //nolint:nilerr // Ctrl-C is how a watch ends
			}
			return err
		},
	}
	l.register(a, cmd)
	cmd.Flags().BoolVar(&a.flags.json, "json", false,
		"print one JSON object a line; the provider's words may repeat the prompt")
	return cmd
}

func (a *app) deadWatch(ctx context.Context, s *session, f consumer.Filter) error {
	for l, err := range s.store.Follow(ctx, f) {
		if err != nil {
			return err
		}
		if a.flags.json {
			if err := a.letterJSON(&l); err != nil {
				return err
			}
			continue
		}
		row := letterRow(&l)
		printf(a.stdout, "%-16s  %-13s  %-6s  %s  %s\n", row[0], row[1], row[2], row[3], row[4])
	}
	return nil
}
