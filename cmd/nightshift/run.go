package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Submit a file of prompts, drain it, write the answers in its order",
		Long: "run takes a file of OpenAI batch lines (plain or gzip, - for standard input),\n" +
			"calls the provider for each and writes the answers in the order of the file.\n" +
			"Interrupted in any way, the same command goes on where it was; a finished file\n" +
			"makes no call and writes the same bytes again.\n\n" +
			"The file's jobs have a queue of their own unless --queue names one.",
		Example: "  nightshift run prompts.jsonl -o answers.jsonl\n" +
			"  nightshift run prompts.jsonl.gz --base-url http://localhost:8000/v1\n" +
			"  nightshift run prompts.jsonl --provider sim --sim latency=200ms,capacity=64",
		Args: oneArg("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args[0]) },
	}
	fs := cmd.Flags()
	a.flags.calling(fs)
	a.flags.submitting(fs)
	a.flags.budgeting(fs)
	fs.BoolVar(&a.flags.json, "json", false, "print the estimate as JSON")
	fs.StringVarP(&a.flags.output, "output", "o", "",
		"answers `file`, - for standard output (default FILE.answers.jsonl here); dead letters go to its .errors.jsonl")
	fs.StringVar(&a.flags.onHold, "on-hold", "auto",
		"`what` to do when the provider is held: wait, exit, or auto: exit if it never answered")
	return cmd
}

// runState is one run from its file to its outputs.
type runState struct {
	*app
	*session
	src      *producer.Source
	report   producer.Report
	batch    producer.Batch
	out      *output
	consumer *consumer.Consumer
	account  string // of the queue's own provider
	started  time.Time
	stood    int // for how many looks a hold has stood
}

// calls is how many calls this run made.
func (r *runState) calls() int {
	if r.consumer == nil { // the batch was complete
		return 0
	}
	return int(r.consumer.Stats().Calls)
}

// jobs is how many jobs the batch will have.
func (r *runState) jobs() int {
	if r.flags.skipInvalid {
		return r.report.Lines
	}
	return r.report.Jobs
}

func (a *app) run(ctx context.Context, path string) (err error) {
	r := &runState{app: a, started: time.Now()}
	if err := errors.Join(a.checkOnHold(), a.checkNames(), a.checkWithin(), a.checkBudget()); err != nil {
		return err
	}
	if a.flags.estimate {
		return a.withFile(ctx, path, a.estimateFile)
	}
	if a.flags.logLevel == "" && isTerminal(a.stderr) {
		a.log = a.log.Level(zerolog.WarnLevel).Hook(zerolog.HookFunc(shownElsewhere))
	}
	if r.src, err = a.openSource(path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.src.Close()) }()
	if r.out, err = newOutput(a.stdout, outputName(a.flags.output, path), path); err != nil {
		return err
	}
	defer r.out.abandon()
	if r.report, err = a.validate(ctx, r.src); err != nil {
		return err
	}
	if err := a.checkPriced(ctx, r.src, r.report, a.flags.queue); err != nil {
		return err
	}
	if r.session, err = a.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	tell, err := a.notifying(ctx, r.session)
	if err != nil {
		return err
	}
	defer tell()
	held, err := r.drain(ctx)
	if err != nil {
		return r.toldBudget(ctx, err)
	}
	if held != nil {
		return exitCode(exitHeld)
	}
	return r.finish(ctx)
}

// shownElsewhere drops from the log what the bar shows in better words.
func shownElsewhere(e *zerolog.Event, _ zerolog.Level, msg string) {
	if strings.HasPrefix(msg, "provider held") {
		e.Discard()
	}
}

// openSource opens the file of prompts; standard input is copied to a temporary file, since it
// is read more than once.
func (a *app) openSource(path string) (*producer.Source, error) {
	if path == "-" {
		return producer.Spool(a.stdin, os.TempDir())
	}
	return producer.Open(path)
}

// withFile opens a file of prompts, looks through it, and does something with it.
func (a *app) withFile(
	ctx context.Context, path string, do func(context.Context, *producer.Source, producer.Report) error,
) (err error) {
	src, err := a.openSource(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	report, err := a.validate(ctx, src)
	if err != nil {
		return err
	}
	return do(ctx, src, report)
}

// validate looks through the whole file before anything is published.
func (a *app) validate(ctx context.Context, src *producer.Source) (producer.Report, error) {
	var err error
	if a.limits, err = a.lineLimits(ctx); err != nil {
		return producer.Report{}, err
	}
	r, err := src.Validate(ctx, a.limits)
	if err != nil || r.Invalid == 0 {
		return r, err
	}
	for _, e := range r.Errors {
		printf(a.stderr, "%s: %s\n", src.Name(), e.Error())
	}
	if more := r.Invalid - len(r.Errors); more > 0 {
		printf(a.stderr, "%s: and %s more\n", src.Name(), thousands(more))
	}
	if a.flags.skipInvalid {
		return r, nil
	}
	return r, hint(fmt.Errorf("%s: %d of %d lines are invalid, nothing was submitted", src.Name(), r.Invalid, r.Lines),
		"mend them, or give --skip-invalid to make dead letters of them and go on")
}

// finish writes the outputs and says what the night came to.
func (r *runState) finish(ctx context.Context) error {
	s, err := r.writeOutputs(ctx)
	if err != nil {
		return err
	}
	if err := r.out.commit(s.dead > 0); err != nil {
		return err
	}
	s.print(r.stderr, time.Since(r.started), r.out, r.calls())
	if s.dead > 0 {
		return exitCode(exitDead)
	}
	return nil
}

func (a *app) submission(b string, queue string) producer.Submission {
	s := producer.Submission{Queue: queue, Batch: b, SkipInvalid: a.flags.skipInvalid, Limits: a.limits}
	if within := firstOf(a.flags.within, a.queueConfig(queue).Nights.Within); within > 0 {
		s.Deadline = a.started.Add(within)
	}
	return s
}

// startLater keeps workers from a batch until --start-at, before its first job is published.
func (a *app) startLater(ctx context.Context, s *session, batch string) error {
	if a.flags.startAt == "" {
		return nil
	}
	until, err := a.moment("--start-at", a.flags.startAt)
	if err != nil {
		return err
	}
	return s.store.Pause(ctx, consumer.Pause{
		Scope: consumer.PauseBatch, Name: batch, Until: until, Reason: consumer.ReasonStart,
	})
}

func (a *app) checkOnHold() error {
	switch a.flags.onHold {
	case "auto", "wait", "exit":
		return nil
	}
	return usageError{hint(fmt.Errorf("--on-hold %q", a.flags.onHold), "use wait, exit or auto")}
}
