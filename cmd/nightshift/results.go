package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) resultsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "results BATCH",
		Short: "Print the answers of a batch, finished or not",
		Long: "results prints the answers that a batch has so far, as OpenAI output lines in the\n" +
			"order they came. A file whose name ends in .gz is compressed.\n\n" +
			"Formats: openai and anthropic are the lines of their batch output files, csv is a\n" +
			"table with the bare text and what it took, text is for people.",
		Example: "  nightshift results b3kq2m7xw4zt --in-order -o answers.jsonl.gz\n" +
			"  nightshift results b3kq2m7xw4zt --follow --format text\n" +
			"  nightshift results b3kq2m7xw4zt --errors",
		Args:              oneArg("BATCH"),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.results(cmd.Context(), args[0]) },
		ValidArgsFunction: a.completeBatches,
	}
	fs := cmd.Flags()
	fs.StringVarP(&a.flags.output, "output", "o", "", "write to `file` instead of standard output")
	fs.BoolVar(&a.flags.errors, "errors", false, "print the dead letters instead, as lines of an error file")
	fs.BoolVar(&a.flags.inOrder, "in-order", false, "in the order of the file that was submitted")
	fs.BoolVar(&a.flags.followNew, "follow", false, "go on with what comes until the batch has ended")
	fs.StringVar(&a.flags.format, "format", "openai", "`form` of a line: openai, anthropic, csv or text")
	return cmd
}

func (a *app) results(ctx context.Context, batch string) error {
	form, err := a.form()
	if err != nil {
		return err
	}
	return a.attached(ctx, func(s *session) error { return a.printResults(ctx, s, batch, form) })
}

func (a *app) printResults(ctx context.Context, s *session, batch string, form form) error {
	if err := s.knows(ctx, batch); err != nil {
		return err
	}
	d, err := a.resultsDraft()
	if err != nil {
		return err
	}
	defer d.abandon()
	p := &printing{app: a, session: s, batch: batch, draft: d, form: form}
	if err := p.all(ctx); err != nil {
		return err
	}
	return d.commit()
}

// form is what the flags ask for.
func (a *app) form() (form, error) {
	if a.flags.followNew && a.flags.inOrder {
		return nil, usageError{hint(errors.New("--follow and --in-order"),
			"what comes later may stand first: give one of them")}
	}
	if a.flags.errors && a.flags.inOrder {
		return nil, usageError{hint(errors.New("--errors and --in-order"), "run writes both in the order of the file")}
	}
	f := formOf(a.flags.format, a.flags.errors)
	if f == nil {
		return nil, usageError{hint(fmt.Errorf("--format %q", a.flags.format), "use openai, anthropic, csv or text")}
	}
	return f, nil
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
	if !producer.ValidName(batch) { // it might stand for several in a subject
		return noBatch(err)
	}
	if c, cerr := s.store.Count(ctx, batch); cerr == nil && c.Ended() > 0 {
		return nil
	}
	return noBatch(err)
}

// printing writes the outcomes of a batch.
type printing struct {
	*app
	*session
	batch string
	draft *draft
	form  form
	last  uint64 // the sequence of the last one that was written
}

func (p *printing) all(ctx context.Context) error {
	if head := p.form.head(); head != nil {
		if err := p.draft.line(head); err != nil {
			return err
		}
	}
	switch {
	case p.flags.followNew:
		return p.follow(ctx)
	case p.flags.inOrder:
		return p.inOrder(ctx)
	}
	return p.fresh(ctx)
}

// fresh writes what has come since the last time.
func (p *printing) fresh(ctx context.Context) error {
	if p.flags.errors {
		return p.freshErrors(ctx)
	}
	for e, err := range p.store.EndingsFrom(ctx, p.batch, p.last+1) {
		if err != nil {
			return err
		}
		p.last = e.Sequence
		if e.Dead {
			continue
		}
		if err := p.answer(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *printing) freshErrors(ctx context.Context) error {
	for l, err := range p.store.DeadLettersFrom(ctx, p.batch, p.last+1) {
		if err != nil {
			return err
		}
		p.last = l.Entry
		line, err := p.form.dead(&l)
		if err == nil {
			err = p.draft.line(line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *printing) answer(e consumer.Ending) error {
	line, err := p.form.answer(e)
	if err != nil {
		return err
	}
	return p.draft.line(line)
}

// followEvery is how often a follower looks for more.
const followEvery = 500 * time.Millisecond

// follow goes on until the batch has ended or the user has seen enough.
func (p *printing) follow(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for good := time.Now(); ; {
		over, err := p.over(ctx) // before the reading, so that the last one is read
		if err == nil {
			err = p.fresh(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how a follower ends
		case err == nil:
			good = time.Now()
		case time.Since(good) > brokerPatience || errors.Is(err, errWrite):
			return err
		}
		if err := p.draft.flush(); err != nil {
			return err
		}
		if over && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// over says whether nothing more will come. Loose jobs may always come.
func (p *printing) over(ctx context.Context) (bool, error) {
	b, err := p.producer.Batch(ctx, p.batch)
	if err != nil {
		return false, ignoreNoBatch(err)
	}
	t, err := p.store.Tally(ctx, b)
	return err == nil && t.Ended() == t.Total, err
}
