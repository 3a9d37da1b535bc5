package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
)

func (a *app) deadShowCommand() *cobra.Command {
	var l letterFlags
	var reveal bool
	cmd := &cobra.Command{
		Use:     "show BATCH/JOB",
		Short:   "Show one dead letter with its history",
		Example: "  nightshift dead show b3kq2m7xw4zt/request-17\n  nightshift dead show b3kq2m7xw4zt/request-17 --reveal",
		Args:    oneArg("BATCH/JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := l.filter(args)
			if err != nil {
				return err
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadShow(cmd.Context(), s, args[0], reveal) })
		},
		ValidArgsFunction: a.completeLetters,
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false,
		"also print the job's message, prompt included, and what it was edited to")
	cmd.Flags().BoolVar(&a.flags.json, "json", false, "print it as JSON")
	return cmd
}

// completeLetters offers the ids of the newest dead letters.
func (a *app) completeLetters(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(func(ctx context.Context, s *session) ([]string, error) {
		var ids []string
		for l, err := range s.store.Letters(ctx, consumer.Filter{}) {
			if err != nil || len(ids) == 100 {
				return ids, err
			}
			ids = append(ids, fmt.Sprintf("%s\t%s", l.ID(), l.Class))
		}
		return ids, nil
	})(cmd, nil, word)
}

func (a *app) deadShow(ctx context.Context, s *session, id string, reveal bool) error {
	batch, key, err := consumer.SplitID(id)
	if err != nil {
		return err
	}
	l, err := s.store.DeadLetter(ctx, batch, "", key)
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.deadJSON(&l, reveal)
	}
	a.printLetter(&l)
	if reveal {
		printf(a.stdout, "\n%s\n", l.Body)
		if l.Edited != nil {
			printf(a.stdout, "\nedited to\n\n%s\n", l.Edited)
		}
	}
	return nil
}

func (a *app) deadJSON(l *consumer.DeadLetter, reveal bool) error {
	out := struct {
		*consumer.DeadLetter
		Body   []byte `json:"body_base64,omitempty"`
		Edited []byte `json:"edited_base64,omitempty"`
	}{DeadLetter: l}
	if reveal {
		out.Body, out.Edited = l.Body, l.Edited
	}
	if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	return nil
}

// field prints one line of a letter, if there is anything to say.
func (a *app) field(name, value string) {
	if value != "" && value != "0" && value != "-" {
		printf(a.stdout, "%-12s %s\n", name, fold(value, 13))
	}
}

func (a *app) printLetter(l *consumer.DeadLetter) {
	a.field("job", l.ID())
	a.field("custom_id", l.CustomID)
	a.field("queue", l.Queue)
	a.field("model", l.Model)
	a.field("line", strconv.Itoa(l.Line))
	a.field("class", string(l.Class))
	a.field("to mend", l.Owner+": "+l.Remedy)
	a.field("status", statusText(l.Status))
	a.field("code", l.Code)
	a.field("message", l.Message)
	a.field("request id", l.RequestID)
	a.field("rule", l.Rule)
	a.field("published", clock(l.Published))
	a.field("first", clock(l.First))
	a.field("last", clock(l.Last))
	a.field("worker", l.Worker)
	a.field("traceparent", l.Trace)
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		a.field("header", name+": "+strings.Join(l.Headers[name], ", "))
	}
	a.printHistory(l)
}

func (a *app) printHistory(l *consumer.DeadLetter) {
	a.field("deliveries", strconv.FormatUint(l.Deliveries, 10))
	a.field("waits", strconv.Itoa(l.Waits))
	if l.LastWait != nil {
		a.field("last wait", attemptLine(*l.LastWait))
	}
	a.field("crashes", strconv.Itoa(l.Crashes))
	for i, at := range l.Attempts {
		a.field(fmt.Sprintf("attempt %d", i+1), attemptLine(at))
	}
	a.field("edits", strconv.Itoa(l.Edits))
	if !l.Discarded.IsZero() {
		a.field("discarded", strings.TrimSpace(clock(l.Discarded)+" "+l.Reason))
	}
	a.field("replays", strconv.Itoa(l.Replays))
	for i, p := range l.Past {
		a.field(fmt.Sprintf("life %d", l.Replays-len(l.Past)+i+1),
			fmt.Sprintf("%s %s %s %s on %s, %s, %s, %s", clock(p.Last), p.Class, statusText(p.Status), p.Code, p.Queue,
				plural(p.Attempts, "attempt"), plural(p.Waits, "wait"), plural(p.Edits, "edit")))
	}
}

func clock(t time.Time) string { return t.Local().Format(time.DateTime) }

func attemptLine(at policy.Attempt) string {
	return fmt.Sprintf("%s %s %s %s %s", clock(at.At), at.Class, statusText(at.Status), at.Code,
		at.Latency.Round(time.Millisecond))
}
