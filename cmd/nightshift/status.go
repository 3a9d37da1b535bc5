package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/policy"
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
	Queues    []consumer.QueueState `json:"queues"`
	Providers []providerStatus      `json:"providers"`
	Workers   []consumer.Worker     `json:"workers"`
	Batches   []batchStatus         `json:"batches"`
}

type providerStatus struct {
	Name     string       `json:"name"`
	State    string       `json:"state"`
	Until    time.Time    `json:"until,omitzero"`
	InFlight int          `json:"in_flight"`
	Window   int          `json:"window"`
	Breaker  string       `json:"breaker,omitempty"`
	Hold     *policy.Hold `json:"hold,omitempty"`
}

type batchStatus struct {
	producer.Batch
	Answered int                  `json:"answered"`
	Dead     int                  `json:"dead"`
	ByClass  map[policy.Class]int `json:"dead_by_class,omitempty"`
	Left     int                  `json:"left"`
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
	r, err := s.report(ctx, batch)
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

// report gathers the state of everything, or of one batch and its queue.
func (s *session) report(ctx context.Context, batch string) (*statusReport, error) {
	batches, err := s.batches(ctx, batch)
	if err != nil {
		return nil, err
	}
	r := &statusReport{}
	if r.Queues, err = s.store.Queues(ctx); err != nil {
		return nil, err
	}
	if r.Workers, err = s.store.Workers(ctx); err != nil {
		return nil, err
	}
	holds, err := s.store.Holds(ctx)
	if err != nil {
		return nil, err
	}
	r.Providers = providersOf(r.Workers, holds)
	for _, b := range batches {
		c, err := s.store.CountClasses(ctx, b.ID)
		if err != nil {
			return nil, err
		}
		r.Batches = append(r.Batches, batchStatus{
			Batch: b, Answered: c.Answered, Dead: c.Dead, ByClass: c.ByClass, Left: max(b.Total-c.Ended(), 0),
		})
	}
	return r, nil
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

// providersOf folds what the workers say of each provider.
func providersOf(workers []consumer.Worker, holds []policy.Hold) []providerStatus {
	byName := map[string]*providerStatus{}
	at := func(name string) *providerStatus {
		if byName[name] == nil {
			byName[name] = &providerStatus{Name: name, State: "open"}
		}
		return byName[name]
	}
	for _, w := range workers {
		for name, s := range w.Providers {
			p := at(name)
			p.InFlight += s.InFlight
			p.Window += s.Window
			p.Breaker = s.Breaker
			if s.Reason != "" && s.Until.After(p.Until) {
				p.State, p.Until = s.Reason, s.Until
			}
		}
	}
	for _, h := range holds {
		p := at(h.Provider)
		p.State, p.Until, p.Hold = "held", h.Probe, &h
	}
	var all []providerStatus
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, *byName[name])
	}
	return all
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
