package main

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) deadExportCommand() *cobra.Command {
	var l letterFlags
	var requests bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write dead letters as OpenAI error lines, oldest first",
		Example: "  nightshift dead export --batch b3kq2m7xw4zt -o errors.jsonl\n" +
			"  nightshift dead export --class context_overflow --requests -o again.jsonl",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := l.filter(nil)
			if err != nil {
				return err
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadExport(cmd.Context(), s, f, requests) })
		},
	}
	l.register(a, cmd)
	fs := cmd.Flags()
	fs.StringVarP(&a.flags.output, "output", "o", "", "write to `file` instead of standard output")
	fs.BoolVar(&requests, "requests", false, "write the jobs' own lines instead, prompts included, to be submitted anew")
	return cmd
}

func (a *app) deadExport(ctx context.Context, s *session, f consumer.Filter, requests bool) error {
	d, err := a.resultsDraft()
	if err != nil {
		return err
	}
	defer d.abandon()
	left := 0
	for l, err := range s.store.LettersOldest(ctx, f) {
		if err != nil {
			return err
		}
		line := l.ErrorLine()
		if requests {
			if line, err = s.requestLine(ctx, &l); err != nil {
				return err
			}
			if line == nil {
				left++
				continue
			}
		}
		if err := d.line(line); err != nil {
			return err
		}
	}
	if left > 0 {
		printf(a.stderr, "%s left out: no job can be made of them\n", plural(left, "dead letter"))
	}
	return d.commit()
}

// requestLine is the job of a letter as a batch line, nil where it cannot be decoded.
func (s *session) requestLine(ctx context.Context, l *consumer.DeadLetter) ([]byte, error) {
	full, err := s.store.DeadLetter(ctx, l.Batch, l.Class, l.Key)
	if err != nil {
		return nil, err
	}
	job, err := producer.Decode(producer.Subject(l.Queue, l.Batch), nil, full.Body, 1)
	if err != nil {
		return nil, nil //nolint:nilerr // the caller counts those that are no jobs
	}
	line, err := json.Marshal(struct {
		CustomID string         `json:"custom_id"`
		Method   string         `json:"method"`
		URL      string         `json:"url"`
		Body     jsontext.Value `json:"body"`
	}{firstOf(job.ID, l.Key), "POST", job.URL, job.Body})
	if err != nil {
		return nil, fmt.Errorf("encode the request of %s: %w", l.ID(), err)
	}
	return line, nil
}
