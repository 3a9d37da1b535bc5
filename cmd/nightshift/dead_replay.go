package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

func (a *app) deadReplayCommand() *cobra.Command {
	var l letterFlags
	var r consumer.Replay
	cmd := &cobra.Command{
		Use:   "replay [BATCH/JOB...]",
		Short: "Send dead letters back to the queue",
		Long: "replay sends jobs again, as they were or as they were edited, to the queue they died\n" +
			"on or another. Attempts start afresh and a deadline that has passed is dropped; the\n" +
			"history goes along. Interrupt it at any moment and give the same command again: no\n" +
			"job is lost and none is sent twice.",
		Example: "  nightshift dead replay b3kq2m7xw4zt/request-17\n" +
			"  nightshift dead replay --class timeout --since 24h --dry-run\n" +
			"  nightshift dead replay --class context_overflow --model gpt-4.1 --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := l.chosen(cmd, args)
			if err == nil {
				err = checkReplay(r)
			}
			if err != nil {
				return err
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadReplay(cmd.Context(), s, f, r) })
		},
		ValidArgsFunction: a.completeLetters,
	}
	l.changing(a, cmd, "from-")
	fs := cmd.Flags()
	fs.StringVar(&r.Queue, "queue", "", "send them to `queue` instead of their own")
	fs.StringVar(&r.Model, "model", "", "ask for `model` instead of the one they name")
	fs.IntVar(&r.Limit, "limit", 0, "how many at most, the oldest first; 0 for all")
	fs.Float64Var(&r.Rate, "rate", 0, "how many a second at most (default as fast as it goes)")
	return a.completeQueueFlag(cmd)
}

func checkReplay(r consumer.Replay) error {
	switch {
	case r.Queue != "" && !producer.ValidName(r.Queue):
		return usageError{hint(fmt.Errorf("--queue %q", r.Queue), "use 1 to 64 of A-Z a-z 0-9 _ -")}
	case r.Limit < 0:
		return usageError{hint(fmt.Errorf("--limit %d", r.Limit), "give how many to send, 0 for all")}
	case r.Rate < 0:
		return usageError{hint(fmt.Errorf("--rate %g", r.Rate), "give how many a second, 0 for no limit")}
	}
	return nil
}

// plan is what a command on many letters will touch.
type plan struct {
	letters int
	byClass map[policy.Class]int
	batches map[string]bool
}

func (s *session) plan(ctx context.Context, f consumer.Filter, limit int) (*plan, error) {
	p := &plan{byClass: map[policy.Class]int{}, batches: map[string]bool{}}
	for l, err := range s.store.LettersOldest(ctx, f) {
		if err != nil {
			return nil, err
		}
		p.letters++
		p.byClass[l.Class]++
		p.batches[l.Batch] = true
		if p.letters == limit {
			break
		}
	}
	return p, nil
}

func (p *plan) print(w io.Writer, verb string) {
	printf(w, "%s %s\n", verb, plural(p.letters, "dead letter"))
	printClasses(w, p.byClass, 2)
}

// agreed shows the plan and says whether to go on.
func (a *app) agreed(p *plan, verb string) (bool, error) {
	if p.letters == 0 {
		printf(a.stderr, "no dead letters\n")
		return !a.flags.dryRun, nil // what an interrupted one left is still to be done
	}
	if a.flags.dryRun {
		p.print(a.stdout, "would "+verb)
		return false, nil
	}
	return true, a.confirmed(p.letters, "dead letters")
}

func (a *app) deadReplay(ctx context.Context, s *session, f consumer.Filter, r consumer.Replay) error {
	p, err := s.plan(ctx, f, r.Limit)
	if err != nil {
		return err
	}
	for id := range p.batches {
		if b, err := s.producer.Batch(ctx, id); err == nil && b.Stopped() {
			return hint(fmt.Errorf("batch %s is cancelled: its jobs would not be called", id),
				"name the letters of other batches")
		}
	}
	on, err := a.agreed(p, "replay")
	if err == nil && !on && p.letters > 0 {
		err = a.printReplayCost(ctx, s, f, r)
	}
	if !on || err != nil {
		return err
	}
	told := time.Now()
	r.Progress = func(done consumer.Replayed) {
		if time.Since(told) >= reportEvery {
			told = time.Now()
			printf(a.stderr, "%s of %s\n", thousands(done.Letters), thousands(p.letters+done.Resumed))
		}
	}
	done, err := s.store.Replay(ctx, f, r)
	return a.moved(ctx, done, "replayed", err)
}

// moved says what was done, and what to do after an interruption.
func (a *app) moved(ctx context.Context, done consumer.Replayed, verb string, err error) error {
	if done.Resumed > 0 {
		printf(a.stderr, "%s of an interrupted one first\n", thousands(done.Resumed))
	}
	if done.Answered > 0 {
		printf(a.stderr, "%s had been answered\n", plural(done.Answered, "job"))
	}
	if done.Letters > 0 || err == nil {
		printf(a.stderr, "%s %s\n", verb, plural(done.Letters, "dead letter"))
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return hint(errors.New("interrupted"), "the same command goes on with the rest")
	}
	if err != nil && !errors.Is(err, consumer.ErrBusy) && !errors.Is(err, consumer.ErrNoEnding) {
		return hint(err, "nothing is lost: the same command goes on with the rest")
	}
	return err
}

func (a *app) deadDiscardCommand() *cobra.Command {
	var l letterFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "discard [BATCH/JOB...]",
		Short: "Give dead letters up, without their prompts",
		Long: "discard gives jobs up for good: they stay dead and are counted as discarded, their\n" +
			"history and the reason are kept, their prompts are not.",
		Example: "  nightshift dead discard b3kq2m7xw4zt/request-17 --reason 'asked for twice'\n" +
			"  nightshift dead discard --class content_filtered --reason 'not for us' --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := l.chosen(cmd, args)
			if err != nil {
				return err
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadDiscard(cmd.Context(), s, f, reason) })
		},
		ValidArgsFunction: a.completeLetters,
	}
	l.changing(a, cmd, "")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who ask later")
	return cmd
}

func (a *app) deadDiscard(ctx context.Context, s *session, f consumer.Filter, reason string) error {
	p, err := s.plan(ctx, f, 0)
	if err != nil {
		return err
	}
	if on, err := a.agreed(p, "discard"); !on || err != nil {
		return err
	}
	done, err := s.store.Discard(ctx, f, reason)
	return a.moved(ctx, done, "discarded", err)
}
