package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completeWait bounds how long the shell waits for names.
const completeWait = 2 * time.Second

// completion is what cobra asks for the words that may stand next.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete makes a completion of what names finds; where it finds nothing, nothing is offered.
func (a *app) complete(names func(context.Context, *session) ([]string, error)) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || a.setUp(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
		defer cancel()
		s, err := a.attach(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer func() { _ = s.close() }()
		found, err := names(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeBatches offers the ids of the batches.
func (a *app) completeBatches(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(func(ctx context.Context, s *session) ([]string, error) {
		batches, err := s.batches(ctx, "")
		var ids []string
		for _, b := range batches {
			ids = append(ids, fmt.Sprintf("%s\t%s, %s", b.ID, b.File, plural(b.Total, "job")))
		}
		return ids, err
	})(cmd, args, word)
}

// completeNames offers what can be paused: batches, queues and providers.
func (a *app) completeNames(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(func(ctx context.Context, s *session) ([]string, error) {
		batches, err := s.batches(ctx, "")
		queues, queueErr := a.queueNames(ctx, s)
		providers, providerErr := a.providerNames(ctx, s)
		names := slices.Concat(queues, providers)
		for _, b := range batches {
			names = append(names, b.ID)
		}
		return unique(names), errors.Join(err, queueErr, providerErr)
	})(cmd, args, word)
}

// completeQueueFlag makes --queue of a command offer the queues of the configuration and of the
// store.
func (a *app) completeQueueFlag(cmd *cobra.Command) *cobra.Command {
	queues := a.complete(a.queueNames)
	err := cmd.RegisterFlagCompletionFunc("queue", func(cmd *cobra.Command, _ []string, word string) (
		[]string, cobra.ShellCompDirective,
	) {
		return queues(cmd, nil, word) // the command's own arguments do not matter
	})
	if err != nil { // the flag is not there: a mistake of ours that the tests see
		a.log.Error().Err(err).Msg("completion of --queue")
	}
	return cmd
}
