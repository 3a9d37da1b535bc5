package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) deleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete BATCH",
		Short: "Remove a batch with its answers and dead letters, for good",
		Long: "delete removes the answers, the dead letters and all else that is kept of a batch\n" +
			"that has ended or was cancelled. On a terminal it asks for the batch's id to be\n" +
			"typed; elsewhere it wants --yes.",
		Example:           "  nightshift delete b3kq2m7xw4zt --dry-run\n  nightshift delete b3kq2m7xw4zt --yes",
		Args:              oneArg("BATCH"),
		ValidArgsFunction: a.completeBatches,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attached(cmd.Context(), func(s *session) error { return a.delete(cmd.Context(), s, args[0]) })
		},
	}
	a.flags.destroying(cmd.Flags())
	return cmd
}

func (a *app) delete(ctx context.Context, s *session, id string) error {
	b, t, err := s.tallied(ctx, id)
	if err != nil {
		return err
	}
	if err := deletable(b, t); err != nil {
		return err
	}
	printf(a.stderr, "delete %s: %s and %s\n", id, plural(t.Answered, "answer"), plural(t.Dead, "dead letter"))
	if a.flags.dryRun {
		return nil
	}
	if !a.flags.yes && !a.typed(id) {
		return usageError{hint(fmt.Errorf("batch %s stays as it is", id), "type its id when asked, or give --yes")}
	}
	return a.doDelete(ctx, s, b)
}

// deletable refuses a batch of which jobs may still end.
func deletable(b producer.Batch, t consumer.Tally) error {
	switch left := t.Total - t.Ended(); {
	case left == 0:
		return nil
	case b.Stopped():
		return hint(fmt.Errorf("%s of batch %s still run", plural(left, "job"), b.ID),
			"nightshift wait %s returns when they have finished, nightshift cancel %s --now cuts them", b.ID, b.ID)
	default:
		return hint(fmt.Errorf("%s of batch %s have not ended", plural(left, "job"), b.ID),
			"nightshift cancel %s first", b.ID)
	}
}

// doDelete forgets the manifest last, so that an interrupted deletion can be run again. It is that
// of a cancelled batch by then: what has lost its ending is not to be worked, nor missing.
func (a *app) doDelete(ctx context.Context, s *session, b producer.Batch) error {
	_, err := s.producer.Stop(ctx, b.ID)
	if err == nil {
		err = s.store.Delete(ctx, b.ID)
	}
	if err == nil {
		err = s.producer.Forget(ctx, b.ID)
	}
	if err != nil {
		return hint(err, "run the same command again: it goes on where it was")
	}
	printf(a.stderr, "batch %s is deleted\n", b.ID)
	return nil
}
