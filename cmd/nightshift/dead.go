package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Inspect, edit, replay and discard dead letters",
		Long: "A dead letter is a job that will not be tried again, with its history. It is named by\n" +
			"BATCH/JOB, as list prints it. Nothing is ever removed by itself.",
		Example: "  nightshift dead stats\n  nightshift dead list --class timeout\n" +
			"  nightshift dead edit --class context_overflow --set body.max_tokens=512 --yes\n" +
			"  nightshift dead replay --batch b3kq2m7xw4zt --yes",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.deadStatsCommand(), a.deadListCommand(), a.deadShowCommand(), a.deadEditCommand(),
		a.deadReplayCommand(), a.deadDiscardCommand(), a.deadExportCommand(), a.deadWatchCommand())
	return cmd
}

// letterFlags choose dead letters.
type letterFlags struct {
	consumer.Filter
	class, since, until string
	all                 bool
}

func (l *letterFlags) register(a *app, cmd *cobra.Command) { l.registerFrom(a, cmd, "") }

// registerFrom gives the flags that choose by queue and model a prefix, where the plain ones mean
// something else.
func (l *letterFlags) registerFrom(a *app, cmd *cobra.Command, prefix string) {
	fs := cmd.Flags()
	fs.StringVar(&l.Batch, "batch", "", "only those of `batch`")
	fs.StringVar(&l.Queue, prefix+"queue", "", "only those that died on `queue`")
	fs.StringVar(&l.Model, prefix+"model", "", "only those that asked for `model`")
	l.conditions(fs)
	err := cmd.RegisterFlagCompletionFunc("batch", func(cmd *cobra.Command, _ []string, word string) (
		[]string, cobra.ShellCompDirective,
	) {
		return a.completeBatches(cmd, nil, word)
	})
	if err != nil { // the flag is not there: a mistake of ours that the tests see
		a.log.Error().Err(err).Msg("completion of --batch")
	}
}

func (l *letterFlags) conditions(fs *pflag.FlagSet) {
	fs.StringVar(&l.class, "class", "", "only those of `class`, such as timeout")
	fs.IntVar(&l.Status, "status", 0, "only those whose last reply had this HTTP `status`")
	fs.StringVar(&l.Code, "code", "", "only those with this `code` of the provider")
	fs.StringVar(&l.since, "since", "", "only those that died after `time`: 2h, 06:00, 2026-08-31 or RFC 3339")
	fs.StringVar(&l.until, "until", "", "only those that died before `time`")
	fs.StringVar(&l.Text, "text", "", "only those with `words` in the provider's message")
	fs.IntVar(&l.Attempts, "attempts", 0, "only those with at least `n` failed calls")
	fs.BoolVar(&l.Discarded, "discarded", false, "the discarded ones instead")
}

// changing registers what commands have that change letters.
func (l *letterFlags) changing(a *app, cmd *cobra.Command, prefix string) {
	l.registerFrom(a, cmd, prefix)
	fs := cmd.Flags()
	fs.BoolVar(&l.all, "all", false, "all dead letters there are")
	if err := fs.MarkHidden("discarded"); err != nil {
		a.log.Error().Err(err).Msg("flag --discarded")
	}
	a.flags.destroying(fs)
}

// filter makes the filter, with the ids of the command line.
func (l *letterFlags) filter(ids []string) (f consumer.Filter, err error) {
	f = l.Filter
	for _, id := range ids {
		if _, _, err := consumer.SplitID(id); err != nil {
			return f, usageError{hint(fmt.Errorf("%q is no dead letter's id", id),
				"give BATCH/JOB as nightshift dead list prints it")}
		}
	}
	f.IDs = ids
	if f.Batch != "" && !producer.ValidName(f.Batch) {
		return f, usageError{hint(fmt.Errorf("--batch %q", f.Batch), "nightshift status lists the batches")}
	}
	if f.Class = policy.Class(l.class); f.Class != "" && !slices.Contains(policy.Classes(), f.Class) {
		return f, usageError{hint(fmt.Errorf("--class %q", l.class), "use one of %s", classNames())}
	}
	if f.Since, err = moment("--since", l.since); err != nil {
		return f, err
	}
	f.Until, err = moment("--until", l.until)
	return f, err
}

// chosen is filter for commands that change something: nothing is chosen by saying nothing.
func (l *letterFlags) chosen(cmd *cobra.Command, ids []string) (consumer.Filter, error) {
	f, err := l.filter(ids)
	narrow := f.Batch != "" || f.Queue != "" || f.Class != "" || f.Status != 0 || f.Code != "" || f.Model != "" ||
		f.Text != "" || f.Attempts != 0 || !f.Since.IsZero() || !f.Until.IsZero()
	if err == nil && len(ids) == 0 && !narrow && !l.all {
		err = usageError{hint(fmt.Errorf("%s: which dead letters?", cmd.Name()),
			"give ids, filters such as --class, or --all")}
	}
	return f, err
}

func classNames() string {
	var names []string
	for _, c := range policy.Classes() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// moment reads a time: so long ago, of today, a day or a whole one.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	now := time.Now()
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation("15:04", text, time.Local); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, time.Local), nil
	}
	for _, layout := range []string{time.DateOnly, time.DateTime, "2006-01-02T15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError{hint(fmt.Errorf("%s %q", flag, text),
		"use 2h for two hours ago, 06:00, 2026-08-31 or 2026-08-31T06:00:00Z")}
}

// letters opens the store for a command on dead letters.
func (a *app) letters(ctx context.Context, f consumer.Filter, do func(*session) error) error {
	return a.attached(ctx, func(s *session) error {
		if f.Batch != "" {
			if err := s.knows(ctx, f.Batch); err != nil {
				return err
			}
		}
		left, err := s.store.Interrupted(ctx)
		if err != nil {
			return err
		}
		if left > 0 {
			printf(a.stderr, "%s of an interrupted replay or discard: the next one does the rest\n", plural(left, "dead letter"))
		}
		return wordsOfLetters(do(s), f)
	})
}

// wordsOfLetters adds what to do about an error.
func wordsOfLetters(err error, f consumer.Filter) error {
	switch {
	case errors.Is(err, consumer.ErrNoEnding) && len(f.IDs) == 1:
		return hint(fmt.Errorf("no dead letter %s", f.IDs[0]), "nightshift dead list shows them")
	case errors.Is(err, consumer.ErrNoEnding):
		return hint(err, "nightshift dead list shows them")
	case errors.Is(err, consumer.ErrBusy):
		return hint(err, "run the same command again when it has finished")
	}
	return err
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return strconv.Itoa(status)
}
