package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Inspect dead letters",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, oldest first",
		Example: "  nightshift dead list\n  nightshift dead list --batch b3kq2m7xw4zt --json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.deadList(cmd.Context()) },
	}
	list.Flags().StringVar(&a.flags.batch, "batch", "", "only those of `batch`")
	list.Flags().BoolVar(&a.flags.json, "json", false, "print one JSON object a line; the provider's words may repeat the prompt")
	var reveal bool
	show := &cobra.Command{
		Use:     "show BATCH/JOB",
		Short:   "Show one dead letter with its history",
		Example: "  nightshift dead show b3kq2m7xw4zt/request-17",
		Args:    oneArg("BATCH/JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.deadShow(cmd.Context(), args[0], reveal)
		},
	}
	show.Flags().BoolVar(&reveal, "reveal", false, "also print the job's message, prompt included")
	show.Flags().BoolVar(&a.flags.json, "json", false, "print it as JSON")
	cmd.AddCommand(list, show)
	return cmd
}

func (a *app) deadList(ctx context.Context) (err error) {
	s, err := a.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if a.flags.batch != "" {
		if err := s.knows(ctx, a.flags.batch); err != nil {
			return err
		}
	}
	rows, n := [][]string{{"CLASS", "OWNER", "STATUS", "LAST", "BATCH/JOB"}}, 0
	for l, err := range s.store.DeadLetters(ctx, a.flags.batch) {
		if err != nil {
			return err
		}
		if n++; a.flags.json {
			if err := json.NewEncoder(a.stdout).Encode(l); err != nil {
				return fmt.Errorf("write standard output: %w", err)
			}
			continue
		}
		rows = append(rows, []string{
			string(l.Class), l.Owner, statusText(l.Status), l.Last.Local().Format("Jan _2 15:04"), l.Batch + "/" + l.Key,
		})
		if len(rows) == 1000 { // enough to align
			table(a.stdout, rows)
			rows = rows[:0]
		}
	}
	switch {
	case a.flags.json:
	case n == 0:
		printf(a.stderr, "no dead letters\n")
	default:
		table(a.stdout, rows)
	}
	return nil
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return strconv.Itoa(status)
}

func (a *app) deadShow(ctx context.Context, id string, reveal bool) (err error) {
	batch, key, ok := strings.Cut(id, "/")
	if !ok {
		return usageError{hint(fmt.Errorf("%q is no dead letter's id", id), "give BATCH/JOB as nightshift dead list prints it")}
	}
	s, err := a.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	l, err := s.store.DeadLetter(ctx, batch, "", key)
	if errors.Is(err, consumer.ErrNoEnding) {
		return hint(fmt.Errorf("no dead letter %s", id), "nightshift dead list shows them")
	}
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.deadJSON(&l, reveal)
	}
	a.printLetter(&l)
	if reveal {
		printf(a.stdout, "\n%s\n", l.Body)
	}
	return nil
}

func (a *app) deadJSON(l *consumer.DeadLetter, reveal bool) error {
	out := struct {
		*consumer.DeadLetter
		Body []byte `json:"body_base64,omitempty"`
	}{DeadLetter: l}
	if reveal {
		out.Body = l.Body
	}
	if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	return nil
}

func (a *app) printLetter(l *consumer.DeadLetter) {
	field := func(name, value string) {
		if value != "" && value != "0" && value != "-" {
			printf(a.stdout, "%-12s %s\n", name, fold(value, 13))
		}
	}
	field("job", l.Batch+"/"+l.Key)
	field("custom_id", l.CustomID)
	field("queue", l.Queue)
	field("line", strconv.Itoa(l.Line))
	field("class", string(l.Class))
	field("to mend", l.Owner+": "+l.Remedy)
	field("status", statusText(l.Status))
	field("code", l.Code)
	field("message", l.Message)
	field("request id", l.RequestID)
	field("rule", l.Rule)
	field("published", l.Published.Local().Format(time.DateTime))
	field("first", l.First.Local().Format(time.DateTime))
	field("last", l.Last.Local().Format(time.DateTime))
	field("deliveries", strconv.FormatUint(l.Deliveries, 10))
	field("waits", strconv.Itoa(l.Waits))
	field("crashes", strconv.Itoa(l.Crashes))
	field("worker", l.Worker)
	for i, at := range l.Attempts {
		field(fmt.Sprintf("attempt %d", i+1), attemptLine(at))
	}
}

func attemptLine(at policy.Attempt) string {
	return fmt.Sprintf("%s %s %s %s %s", at.At.Local().Format(time.DateTime), at.Class, statusText(at.Status), at.Code,
		at.Latency.Round(time.Millisecond))
}
