package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "resume PROVIDER",
		Short:             "End the hold of a provider: workers call it again at once",
		Example:           "  nightshift resume openai",
		Args:              oneArg("PROVIDER"),
		ValidArgsFunction: a.completeProviders,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.resume(cmd.Context(), args[0]) },
	}
}

func (a *app) resume(ctx context.Context, provider string) (err error) {
	s, err := a.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.store.Release(ctx, provider); err != nil {
		return hint(err, "nightshift status shows the providers")
	}
	printf(a.stderr, "provider %s is no longer held\n", provider)
	return nil
}
