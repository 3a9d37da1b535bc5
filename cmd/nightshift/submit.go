package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/producer"
)

func (f *flags) submitting(fs *pflag.FlagSet) {
	fs.StringVar(&f.queue, "queue", "", "`queue` to put the jobs on")
	fs.StringVar(&f.batch, "batch", "",
		"`name` of the batch (default: made from the file's contents, so that the same file is the same batch)")
	fs.DurationVar(&f.within, "within", 0,
		"`time` the jobs have from the first submission, such as 24h; what has not ended by then is a dead "+
			"letter, expired (default no limit)")
	fs.StringVar(&f.startAt, "start-at", "",
		"`time` before which none of the jobs is called: 22:00, \"2026-01-31 22:00\" or RFC 3339")
	fs.BoolVar(&f.again, "again", false, "put back what has no ending of a batch that was cancelled")
	fs.BoolVar(&f.skipInvalid, "skip-invalid", false, "make dead letters of invalid lines instead of refusing the file")
}

func (a *app) submitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "submit FILE",
		Short:   "Put a file of prompts on a queue, print the batch's id",
		Example: "  nightshift submit prompts.jsonl\n  zcat prompts.jsonl.gz | nightshift submit - --queue nightly",
		Args:    oneArg("FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.submit(cmd.Context(), args[0]) },
	}
	a.flags.submitting(cmd.Flags())
	a.flags.budgeting(cmd.Flags())
	cmd.Flags().BoolVar(&a.flags.json, "json", false, "print the estimate as JSON")
	return cmd
}

func (a *app) submit(ctx context.Context, path string) error {
	if err := errors.Join(a.checkNames(), a.checkWithin(), a.checkBudget()); err != nil {
		return err
	}
	if a.flags.estimate {
		return a.withFile(ctx, path, a.estimateFile)
	}
	return a.withFile(ctx, path, a.submitSource)
}

func (a *app) submitSource(ctx context.Context, src *producer.Source, report producer.Report) (err error) {
	if err := a.checkPriced(ctx, src, report, firstOf(a.flags.queue, defaultQueue)); err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	id := firstOf(a.flags.batch, producer.BatchID(report.Digest, a.flags.model))
	queue, err := a.queueOf(ctx, s, id, defaultQueue)
	if err != nil {
		return err
	}
	if err := a.limitBatch(ctx, s, id, queue); err != nil {
		return err
	}
	if err := a.startLater(ctx, s, id); err != nil {
		return err
	}
	b, err := s.submitFile(ctx, src, report, a.watched(s, a.submission(id, queue)))
	if errors.Is(err, producer.ErrCancelled) {
		return hint(err, "--again puts back what has no ending")
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		return hint(fmt.Errorf("%w; %s of %s jobs are on the queue", err, thousands(b.Published), thousands(b.Total)),
			"run the same command again to go on")
	}
	printf(a.stderr, "%s on queue %s\n", plural(b.Total, "job"), b.Queue)
	printf(a.stdout, "%s\n", b.ID)
	return nil
}

// submitFile goes on where it was when the broker went away meanwhile and is back.
func (s *session) submitFile(
	ctx context.Context, src *producer.Source, r producer.Report, sub producer.Submission,
) (producer.Batch, error) {
	for good, mark := time.Now(), 0; ; {
		b, err := s.producer.Submit(ctx, src, r, sub)
		if b.Published > mark {
			good, mark = time.Now(), b.Published
		}
		if !unanswered(err) || ctx.Err() != nil || time.Since(good) > brokerPatience {
			return b, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
	}
}

// queueOf is the queue of a batch: where it was submitted before, where --queue says, or another.
func (a *app) queueOf(ctx context.Context, s *session, id, other string) (string, error) {
	b, err := s.producer.Batch(ctx, id)
	if errors.Is(err, producer.ErrNoBatch) {
		return firstOf(a.flags.queue, other), nil
	}
	if err == nil {
		err = a.wanted(ctx, s, b)
	}
	if err == nil && a.flags.queue != "" && b.Queue != a.flags.queue {
		return "", hint(fmt.Errorf("this file is batch %s on queue %s already", id, b.Queue),
			"leave --queue out, or give --batch NAME to submit it once more")
	}
	return b.Queue, err
}

// watched is a submission that says once when it waits for room.
func (a *app) watched(s *session, sub producer.Submission) producer.Submission {
	sub.Ended = s.ended
	warned := false
	sub.Progress = func(b producer.Batch, full bool) {
		if full && !warned {
			warned = true
			printf(a.stderr, "the queue is full at %s of %s jobs, waiting for workers to make room\n",
				thousands(b.Published), thousands(b.Total))
		}
	}
	return sub
}

func (a *app) checkWithin() error {
	if a.flags.within >= 0 {
		return nil
	}
	return usageError{hint(fmt.Errorf("--within %s", a.flags.within), "use a time such as 24h")}
}

// checkNames looks at the names that become tokens of subjects.
func (a *app) checkNames() error {
	for flag, name := range map[string]string{"--queue": a.flags.queue, "--batch": a.flags.batch} {
		if name != "" && !producer.ValidName(name) {
			return usageError{hint(fmt.Errorf("%s %q", flag, name), "use 1 to 64 of A-Z a-z 0-9 _ -")}
		}
	}
	return nil
}
