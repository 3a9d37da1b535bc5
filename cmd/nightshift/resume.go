package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"nightshift/consumer"
)

func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume QUEUE|PROVIDER|BATCH",
		Short: "End a pause, or the hold of a provider: workers pull again at once",
		Long: "resume ends the pause of a queue, a provider or a batch. For a provider it also ends\n" +
			"its hold and any wait it asked for: do so when you have mended what it is held for.\n\n" +
			"Where one name is both, write batch/NAME, queue/NAME or provider/NAME.",
		Example:           "  nightshift resume openai\n  nightshift resume b3kq2m7xw4zt",
		Args:              oneArg("QUEUE, PROVIDER or BATCH"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attached(cmd.Context(), func(s *session) error { return a.resume(cmd.Context(), s, args[0]) })
		},
	}
}

func (a *app) resume(ctx context.Context, s *session, name string) error {
	p, err := a.scopeOf(ctx, s, name)
	if err != nil {
		return err
	}
	pauses, err := s.store.Pauses(ctx)
	if err != nil {
		return err
	}
	for _, o := range pauses {
		if o.Scope == p.Scope && o.Name == p.Name && o.Reason == consumer.ReasonBudget {
			return hint(errors.New("the budget of "+name+" is spent"), "nightshift budget %s shows and raises it", name)
		}
	}
	pauseErr := s.store.Unpause(ctx, p.Scope, p.Name)
	if pauseErr != nil && !errors.Is(pauseErr, consumer.ErrNotPaused) {
		return pauseErr
	}
	switch {
	case p.Scope == consumer.PauseProvider:
		return a.resumeProvider(ctx, s, p.Name, pauseErr == nil)
	case pauseErr != nil:
		return hint(pauseErr, "nightshift status shows what is paused")
	}
	printf(a.stderr, "%s %s goes on\n", p.Scope, p.Name)
	return nil
}

// resumeProvider also ends its hold and opens its gate; lifted says that it was paused.
func (a *app) resumeProvider(ctx context.Context, s *session, name string, lifted bool) error {
	held, shut, err := s.store.Resume(ctx, name)
	switch {
	case err != nil:
		return err
	case held:
		printf(a.stderr, "provider %s is no longer held\n", name)
	case shut, lifted:
		printf(a.stderr, "provider %s goes on\n", name)
	default:
		return hint(fmt.Errorf("provider %s is not held", name), "nightshift status shows the providers")
	}
	return nil
}
