package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/producer"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status [BATCH]",
		Short:   "Show queues, providers and batches",
		Example: "  nightshift status\n  nightshift status --watch\n  nightshift status b3kq2m7xw4zt --json",
		Args:    optionalArg("BATCH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.status(cmd.Context(), strings.Join(args, ""))
		},
		ValidArgsFunction: a.completeBatches,
	}
	cmd.Flags().BoolVar(&a.flags.watch, "watch", false, "show it anew every second, until Ctrl-C")
	cmd.Flags().BoolVar(&a.flags.json, "json", false, "print it as JSON")
	return cmd
}

// statusReport is what status shows.
type statusReport struct {
	Queues    []queueStatus     `json:"queues"`
	Providers []providerStatus  `json:"providers"`
	Workers   []consumer.Worker `json:"workers"`
	Pauses    []consumer.Pause  `json:"pauses,omitempty"`
	Batches   []batchStatus     `json:"batches"`

	detailed bool // one batch was asked for
}

func (a *app) status(ctx context.Context, batch string) error {
	err := a.look(ctx, batch, a.attach)
	if err != nil || !a.flags.watch {
		return err
	}
	return a.watchStatus(ctx, batch)
}

// look opens the broker for one report.
func (a *app) look(ctx context.Context, batch string, open func(context.Context) (*session, error)) (err error) {
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r, err := a.report(ctx, s, batch)
	if err != nil {
		return err
	}
	return a.printStatus(r)
}

// watchPatience is how long a watch puts up with a broker that does not answer: it may be on
// its way to another process.
const watchPatience = 10 * time.Second

// watchStatus looks every second, while a broker runs. It starts none itself, so that it never
// stands in the way of who comes and goes.
func (a *app) watchStatus(ctx context.Context, batch string) error {
	for good := time.Now(); ; {
		select {
		case <-ctx.Done(): // Ctrl-C is how a watch ends
			return nil
		case <-time.After(time.Second):
		}
		one, cancel := context.WithTimeout(ctx, watchPatience)
		err := a.look(one, batch, a.guest)
		cancel()
		switch {
		case err == nil, errors.Is(err, broker.ErrNotRunning):
			good = time.Now()
		case ctx.Err() == nil && time.Since(good) > watchPatience:
			return err
		}
	}
}

// guest is attach where a broker runs already.
func (a *app) guest(ctx context.Context) (*session, error) {
	if a.natsURL() != "" {
		return a.open(ctx)
	}
	dir, err := a.storeDir()
	if err != nil {
		return nil, err
	}
	b, err := broker.Attach(ctx, dir)
	if err != nil {
		return nil, err
	}
	return a.openSession(ctx, b)
}

func (s *session) batches(ctx context.Context, id string) ([]producer.Batch, error) {
	if id != "" {
		b, err := s.producer.Batch(ctx, id)
		return []producer.Batch{b}, noBatch(err)
	}
	all, err := s.producer.Batches(ctx)
	slices.SortFunc(all, func(a, b producer.Batch) int { return b.Created.Compare(a.Created) })
	return all, err
}

func noBatch(err error) error {
	if errors.Is(err, producer.ErrNoBatch) {
		return hint(err, "nightshift status lists the batches")
	}
	return err
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
