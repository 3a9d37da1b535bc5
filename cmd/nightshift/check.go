package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nightshift/policy"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check configuration, store, key and provider before the night",
		Long: "check looks at everything a run needs and says of each whether it is ok or what\n" +
			"to do. It makes one call of one output token to the provider; --model names the\n" +
			"model for it.",
		Example: "  nightshift check\n  nightshift check --base-url http://localhost:8000/v1 --model llama-3.1-8b",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context()) },
	}
	a.flags.calling(cmd.Flags())
	cmd.Flags().StringVar(&a.flags.queue, "queue", "", "the `queue` whose provider is called (default "+defaultQueue+")")
	return cmd
}

func (a *app) check(ctx context.Context) error {
	failed := false
	say := func(what string, err error, ok string) {
		if err == nil {
			printf(a.stdout, "ok    %-13s  %s\n", what, fold(ok, 21))
			return
		}
		failed = true
		printf(a.stdout, "FAIL  %-13s  %s\n", what, fold(err.Error(), 21))
		var h interface{ Hint() string }
		if errors.As(err, &h) && h.Hint() != "" {
			printf(a.stdout, "%21s%s\n", "", fold(h.Hint(), 21))
		}
	}
	say("configuration", nil, a.configWords())
	what, err := a.checkBroker(ctx)
	say("broker", err, what)
	what, err = a.checkProvider(ctx)
	say("provider", err, what)
	if failed {
		return exitCode(exitError)
	}
	return nil
}

func (a *app) configWords() string {
	name := firstOf(a.flags.configFile, defaultConfigFile)
	if _, err := os.Stat(name); err != nil {
		return "no file, flags and environment only"
	}
	return fmt.Sprintf("%s: %s, %s", name, plural(len(a.config.Providers), "provider"),
		plural(len(a.config.Queues), "queue"))
}

func (a *app) checkBroker(ctx context.Context) (string, error) {
	s, err := a.open(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = s.close() }() // nothing was written
	switch {
	case a.natsURL() != "":
		return "connected to " + s.broker.URL(), nil
	case s.broker.Owner():
		return "store " + s.broker.Dir() + " is usable", nil
	}
	return "one runs already on " + s.broker.Dir(), nil
}

func (a *app) checkProvider(ctx context.Context) (string, error) {
	n, err := a.pickProvider(firstOf(a.flags.queue, defaultQueue))
	if err != nil {
		return "", err
	}
	p, stop, err := n.build(ctx)
	if err != nil {
		return "", err
	}
	defer stop()
	model := n.checkModel()
	ctx, cancel := context.WithTimeout(ctx, firstOf(n.Timeouts.Chat, n.Timeout, time.Minute))
	defer cancel()
	start := time.Now()
	r := p.Call(ctx, policy.Call{ID: "check", Path: "/v1/chat/completions", Body: fmt.Appendf(nil,
		`{"model":%q,"max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}`, model)})
	if f := n.classify(r); f != nil {
		err := fmt.Errorf("%s with model %s: %w", n.name, model, f)
		if words := f.Words(); words != "" {
			err = fmt.Errorf("%w: %s", err, words)
		}
		return "", hint(err, "%s: %s", f.Class.Owner(), f.Class.Remedy())
	}
	return fmt.Sprintf("%s answered with model %s in %s", n.name, model, time.Since(start).Round(time.Millisecond)), nil
}
