package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

func (a *app) waitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait BATCH",
		Short: "Wait until a batch has ended",
		Long: "wait returns when every job of a batch has ended, with the exit code of run: 0 when\n" +
			"all are answered, 3 when some are dead letters, 4 when the provider is held; and 1\n" +
			"when the batch was cancelled or the time is up. It works no job itself.",
		Example: "  nightshift wait b3kq2m7xw4zt && nightshift results b3kq2m7xw4zt -o a.jsonl\n" +
			"  nightshift wait b3kq2m7xw4zt --timeout 8h --on-hold wait",
		Args:              oneArg("BATCH"),
		ValidArgsFunction: a.completeBatches,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.wait(cmd.Context(), args[0]) },
	}
	cmd.Flags().DurationVar(&a.flags.waitFor, "timeout", 0, "`time` to wait at most, such as 8h (default no limit)")
	cmd.Flags().StringVar(&a.flags.onHold, "on-hold", "exit", "`what` to do when the provider is held: wait or exit")
	return cmd
}

func (a *app) wait(ctx context.Context, id string) error {
	if a.flags.onHold != "wait" && a.flags.onHold != "exit" {
		return usageError{hint(fmt.Errorf("--on-hold %q", a.flags.onHold), "use wait or exit")}
	}
	if a.flags.waitFor < 0 {
		return usageError{hint(fmt.Errorf("--timeout %s", a.flags.waitFor), "use a time such as 8h")}
	}
	return a.attached(ctx, func(s *session) error { return a.waitFor(ctx, s, id) })
}

func (a *app) waitFor(ctx context.Context, s *session, id string) error {
	if a.flags.waitFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.flags.waitFor, errTimeUp)
		defer cancel()
	}
	w := &waiting{app: a, session: s, good: time.Now()}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		done, err := w.look(ctx, id)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

var errTimeUp = errors.New("the time is up")

// waiting is a wait that goes on.
type waiting struct {
	*app
	*session
	good  time.Time // when the broker answered last
	lost  int       // for how many looks jobs were missing
	stood int       // for how many looks the provider was held
}

// A hold may be about to be released, and jobs that are replayed are nowhere for an instant.
const (
	heldLooks = 2
	lostLooks = 20
)

// look says whether the wait is over, and its outcome.
func (w *waiting) look(ctx context.Context, id string) (done bool, err error) {
	b, err := w.producer.Batch(ctx, id)
	if errors.Is(err, producer.ErrNoBatch) {
		return true, noBatch(err)
	}
	var t consumer.Tally
	if err == nil {
		t, err = w.store.Tally(ctx, b)
	}
	switch {
	case ctx.Err() != nil:
		return true, w.ended(ctx, id)
	case err != nil && time.Since(w.good) > brokerPatience:
		return true, err
	case err != nil: // the broker may be on its way to another process
		return false, nil //nolint:nilerr // the next look tells whether it is gone
	}
	w.good = time.Now()
	if t.Ended() == t.Total {
		return true, w.outcome(b, t)
	}
	if w.lost++; t.Missing == 0 {
		w.lost = 0
	}
	if w.lost >= lostLooks {
		return true, hint(fmt.Errorf("%s of batch %s are neither on its queue nor ended", plural(t.Missing, "job"), id),
			"nightshift verify %s FILE --repair puts them back", id)
	}
	return w.held(ctx, b)
}

// ended is the outcome of a wait that its context has ended.
func (w *waiting) ended(ctx context.Context, id string) error {
	why := "interrupted"
	if errors.Is(context.Cause(ctx), errTimeUp) {
		why = "the time is up"
	}
	return hint(fmt.Errorf("%s: batch %s has not ended", why, id), "nightshift status %s shows how far it is", id)
}

func (w *waiting) outcome(b producer.Batch, t consumer.Tally) error {
	printf(w.stderr, "batch %s: %s answered, %s dead\n", b.ID, thousands(t.Answered), thousands(t.Dead))
	switch {
	case t.Cancelled > 0:
		return hint(fmt.Errorf("batch %s was cancelled, %s without an ending", b.ID, plural(t.Cancelled, "job")),
			"nightshift submit FILE --again puts them back")
	case t.Dead > 0:
		return exitCode(exitDead)
	}
	return nil
}

// held ends the wait when the provider of the batch's queue has stood still for two looks.
func (w *waiting) held(ctx context.Context, b producer.Batch) (bool, error) {
	hold, err := w.holdOf(ctx, b.Queue)
	if err != nil || hold == nil || w.flags.onHold == "wait" {
		w.stood = 0
		return false, nil //nolint:nilerr // the next look tells whether the broker is gone
	}
	if w.stood++; w.stood < heldLooks {
		return false, nil
	}
	printf(w.stderr, "%severy job is kept: mend that and wait again\n", holdText(hold))
	return true, exitCode(exitHeld)
}

// holdOf is the hold of the provider that workers of a queue call; nil when there is none.
func (s *session) holdOf(ctx context.Context, queue string) (*policy.Hold, error) {
	workers, err := s.store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	holds, err := s.store.Holds(ctx)
	for _, w := range workers {
		i := slices.IndexFunc(holds, func(h policy.Hold) bool { return h.Provider == w.Routes[queue] })
		if i >= 0 {
			return &holds[i], err
		}
	}
	return nil, err
}
