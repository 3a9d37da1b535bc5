package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) pauseCommand() *cobra.Command {
	var until string
	var forTime time.Duration
	cmd := &cobra.Command{
		Use:   "pause QUEUE|PROVIDER|BATCH",
		Short: "Stop pulling the jobs of a queue, a provider or a batch",
		Long: "pause makes all workers stop pulling the jobs of a queue, of a batch, or for a\n" +
			"provider, within a second. Calls in flight finish, every job is kept, and it lasts\n" +
			"until its time or nightshift resume, over restarts too.\n\n" +
			"Where one name is both, write batch/NAME, queue/NAME or provider/NAME.",
		Example: "  nightshift pause b3kq2m7xw4zt\n  nightshift pause nightly --until 22:00\n  nightshift pause provider/openai --for 2h",
		Args:    oneArg("QUEUE, PROVIDER or BATCH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pause(cmd.Context(), args[0], until, forTime)
		},
		ValidArgsFunction: a.completeNames,
	}
	cmd.Flags().StringVar(&until, "until", "", "`time` at which it ends: 06:00, \"2026-01-31 06:00\" or RFC 3339")
	cmd.Flags().DurationVar(&forTime, "for", 0, "`time` after which it ends, such as 2h")
	return cmd
}

func (a *app) pause(ctx context.Context, name, until string, forTime time.Duration) error {
	end, err := a.pauseEnd(until, forTime)
	if err != nil {
		return err
	}
	return a.attached(ctx, func(s *session) error { return a.pauseUntil(ctx, s, name, end) })
}

func (a *app) pauseUntil(ctx context.Context, s *session, name string, end time.Time) error {
	p, err := a.scopeOf(ctx, s, name)
	if err != nil {
		return err
	}
	p.Until, p.Reason = end, consumer.ReasonOperator
	if err := s.store.Pause(ctx, p); err != nil {
		return err
	}
	words := "until nightshift resume " + name
	if !end.IsZero() {
		words = "until " + end.Local().Format("Jan _2 15:04")
	}
	printf(a.stderr, "%s %s is paused %s; calls in flight finish\n", p.Scope, p.Name, words)
	return nil
}

func (a *app) pauseEnd(until string, forTime time.Duration) (time.Time, error) {
	switch {
	case until != "" && forTime != 0:
		return time.Time{}, usageError{hint(errors.New("--until and --for together"), "give one of them")}
	case forTime < 0:
		return time.Time{}, usageError{hint(fmt.Errorf("--for %s", forTime), "use a time such as 2h")}
	case forTime > 0:
		return a.started.Add(forTime), nil
	case until == "":
		return time.Time{}, nil
	}
	return a.moment("--until", until)
}

// moment reads a time to come as people write it; a clock's time is the next such.
func (a *app) moment(flag, text string) (time.Time, error) {
	now := a.started.Local()
	if t, err := time.ParseInLocation("15:04", text, time.Local); err == nil {
		y, m, d := now.Date()
		if t = time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, time.Local); !t.After(now) {
			t = time.Date(y, m, d+1, t.Hour(), t.Minute(), 0, 0, time.Local)
		}
		return t, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateTime} {
		t, err := time.ParseInLocation(layout, text, time.Local)
		switch {
		case err != nil:
		case !t.After(now):
			return t, usageError{hint(fmt.Errorf("%s %s has passed", flag, text), "give a time to come")}
		default:
			return t, nil
		}
	}
	return time.Time{}, usageError{hint(fmt.Errorf("%s %q", flag, text), `use 06:00, "2026-01-31 06:00" or RFC 3339`)}
}

// scopeOf finds what a name means: a batch, a queue or a provider. The queue that a batch has to
// itself bears its name, and is the same to who pauses either.
func (a *app) scopeOf(ctx context.Context, s *session, name string) (consumer.Pause, error) {
	scope, rest, named := strings.Cut(name, "/")
	if !named {
		scope, rest = "", name
	}
	found, err := a.scopesOf(ctx, s, rest)
	if err != nil {
		return consumer.Pause{}, err
	}
	if named {
		found = slices.DeleteFunc(found, func(p consumer.PauseScope) bool { return string(p) != scope })
	} else if slices.Contains(found, consumer.PauseBatch) {
		found = slices.DeleteFunc(found, func(p consumer.PauseScope) bool { return p == consumer.PauseQueue })
	}
	switch len(found) {
	case 1:
		return consumer.Pause{Scope: found[0], Name: rest}, nil
	case 0:
		return consumer.Pause{}, hint(fmt.Errorf("no batch, queue or provider %s", name), "nightshift status shows them")
	}
	return consumer.Pause{}, usageError{hint(fmt.Errorf("%s is a %s and a %s", name, found[0], found[1]),
		"write %s/%s or %s/%s", found[0], name, found[1], name)}
}

func (a *app) scopesOf(ctx context.Context, s *session, name string) (found []consumer.PauseScope, err error) {
	switch _, err := s.producer.Batch(ctx, name); {
	case err == nil:
		found = append(found, consumer.PauseBatch)
	case !errors.Is(err, producer.ErrNoBatch):
		return nil, err
	}
	queues, err := a.queueNames(ctx, s)
	if err != nil {
		return nil, err
	}
	if slices.Contains(queues, name) {
		found = append(found, consumer.PauseQueue)
	}
	providers, err := a.providerNames(ctx, s)
	if err != nil {
		return nil, err
	}
	if slices.Contains(providers, name) {
		found = append(found, consumer.PauseProvider)
	}
	return found, nil
}

// queueNames are the queues of the configuration and of the store, and the one that needs neither.
func (a *app) queueNames(ctx context.Context, s *session) ([]string, error) {
	names := append(slices.Collect(maps.Keys(a.config.Queues)), defaultQueue)
	queues, err := s.store.Queues(ctx)
	for _, q := range queues {
		names = append(names, q.Name)
	}
	return unique(names), err
}

// providerNames are the providers of the configuration, those that need none, those of the workers,
// and those that are held.
func (a *app) providerNames(ctx context.Context, s *session) ([]string, error) {
	names := append(slices.Collect(maps.Keys(a.config.Providers)), anthropicName, openAIName, simName)
	holds, err := s.store.Holds(ctx)
	for _, h := range holds {
		names = append(names, h.Provider)
	}
	if err != nil {
		return nil, err
	}
	workers, err := s.store.Workers(ctx)
	for _, w := range workers {
		names = slices.AppendSeq(names, maps.Keys(w.Providers))
	}
	return unique(names), err
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
