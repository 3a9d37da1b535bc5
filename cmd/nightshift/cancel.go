package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) cancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel BATCH",
		Short: "Take the jobs of a batch off its queue; answers stay",
		Long: "cancel takes the jobs of a batch that no worker has yet off its queue, for good.\n" +
			"What runs finishes, or is cut with --now, which loses what those calls cost.\n" +
			"Answers and dead letters stay. submit FILE --again puts the rest back.",
		Example:           "  nightshift cancel b3kq2m7xw4zt --dry-run\n  nightshift cancel b3kq2m7xw4zt --now --yes",
		Args:              oneArg("BATCH"),
		ValidArgsFunction: a.completeBatches,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attached(cmd.Context(), func(s *session) error { return a.cancel(cmd.Context(), s, args[0]) })
		},
	}
	cmd.Flags().BoolVar(&a.flags.now, "now", false, "cut the calls in flight too")
	a.flags.destroying(cmd.Flags())
	return cmd
}

func (a *app) cancel(ctx context.Context, s *session, id string) error {
	b, t, err := s.tallied(ctx, id)
	if err != nil {
		return err
	}
	left := t.Total - t.Ended()
	if left == 0 && !b.Stopped() {
		return hint(fmt.Errorf("batch %s has ended: there is nothing to cancel", id),
			"nightshift results %s prints its answers", id)
	}
	if !b.Stopped() {
		a.sayCancel(b, t)
	}
	if a.flags.dryRun {
		return nil
	}
	if err := a.confirmed(left, "jobs"); err != nil {
		return err
	}
	return a.doCancel(ctx, s, b)
}

// sayCancel says what will be touched.
func (a *app) sayCancel(b producer.Batch, t consumer.Tally) {
	running := "finish"
	if a.flags.now {
		running = "are cut"
	}
	printf(a.stderr, "%s\n", fold(fmt.Sprintf("cancel %s: %s off queue %s, %s that run %s; %s and %s stay", b.ID,
		plural(t.Queued+t.Waiting, "job"), b.Queue, thousands(t.Running), running,
		plural(t.Answered, "answer"), plural(t.Dead, "dead letter")), 0))
}

func (a *app) doCancel(ctx context.Context, s *session, b producer.Batch) error {
	was := b.Stopped()
	b, err := s.producer.Stop(ctx, b.ID)
	if err != nil {
		return noBatch(err)
	}
	off, err := s.store.Cancel(ctx, b, a.flags.now)
	if err != nil {
		return hint(err, "run the same command again: it goes on where it was")
	}
	if was {
		printf(a.stderr, "batch %s was cancelled before; %s taken off its queue\n", b.ID, plural(off, "job"))
		return nil
	}
	printf(a.stderr, "batch %s is cancelled\n", b.ID)
	return nil
}

// wanted refuses to go on with a cancelled batch, or puts it back with --again.
func (a *app) wanted(ctx context.Context, s *session, b producer.Batch) error {
	if !b.Stopped() {
		return nil
	}
	if !a.flags.again {
		return hint(fmt.Errorf("batch %s was cancelled on %s", b.ID, b.Cancelled.Local().Format("Jan _2 at 15:04")),
			"--again puts back what has no ending; nightshift results %s prints the answers", b.ID)
	}
	_, err := s.producer.Restart(ctx, b.ID)
	return err
}
