package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) resultsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "results BATCH",
		Short: "Print the answers of a batch as they came, finished or not",
		Long: "results prints the answers that a batch has so far, as OpenAI output lines in\n" +
			"the order they came. run writes them in the order of the file.",
		Example:           "  nightshift results b3kq2m7xw4zt > answers.jsonl\n  nightshift results b3kq2m7xw4zt --errors",
		Args:              oneArg("BATCH"),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.results(cmd.Context(), args[0]) },
		ValidArgsFunction: a.completeBatches,
	}
	cmd.Flags().StringVarP(&a.flags.output, "output", "o", "", "write to `file` instead of standard output")
	cmd.Flags().BoolVar(&a.flags.errors, "errors", false, "print the dead letters as OpenAI error lines instead")
	return cmd
}

func (a *app) results(ctx context.Context, batch string) (err error) {
	s, err := a.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.knows(ctx, batch); err != nil {
		return err
	}
	d, err := a.resultsDraft()
	if err != nil {
		return err
	}
	defer d.abandon()
	if a.flags.errors {
		err = s.writeErrors(ctx, batch, d)
	} else {
		err = s.writeAnswers(ctx, batch, d)
	}
	if err != nil {
		return err
	}
	return d.commit()
}

func (a *app) resultsDraft() (*draft, error) {
	if a.flags.output != "" && a.flags.output != "-" {
		return newDraft(a.flags.output)
	}
	return stdoutDraft(a.stdout), nil
}

// knows says whether there is anything of a batch: a manifest, or endings of jobs that were
// published by hand.
func (s *session) knows(ctx context.Context, batch string) error {
	_, err := s.producer.Batch(ctx, batch)
	if err == nil {
		return nil
	}
	if c, cerr := s.store.Count(ctx, batch); cerr == nil && c.Ended() > 0 {
		return nil
	}
	return noBatch(err)
}

func (s *session) writeAnswers(ctx context.Context, batch string, d *draft) error {
	for e, err := range s.store.Endings(ctx, batch) {
		if err != nil {
			return err
		}
		if e.Dead {
			continue
		}
		if err := d.line(e.Line); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) writeErrors(ctx context.Context, batch string, d *draft) error {
	for l, err := range s.store.DeadLetters(ctx, batch) {
		if err != nil {
			return err
		}
		if err := d.line(l.ErrorLine()); err != nil {
			return err
		}
	}
	return nil
}
