package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status [BATCH]",
		Short:   "Show queues, providers and batches",
		Example: "  nightshift status\n  nightshift status --watch\n  nightshift status b3kq2m7xw4zt --json",
		Args:    cobra.MaximumNArgs(1),
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

func (a *app) status(ctx context.Context, batch string) (err error) {
	s, err := a.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for {
		r, err := s.report(ctx, batch)
		if err != nil {
			return err
		}
		if a.flags.watch && isTerminal(a.stdout) && !a.flags.json {
			printf(a.stdout, "\x1b[H\x1b[2J")
		}
		if err := a.printStatus(r); err != nil || !a.flags.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (a *app) printStatus(r *statusReport) error {
	if a.flags.json {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	r.print(a.stdout)
	return nil
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

func (r *statusReport) print(w io.Writer) {
	if len(r.Queues)+len(r.Batches)+len(r.Providers) == 0 {
		printf(w, "nothing is queued and nothing was submitted\n")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = t.Flush() }() // the terminal's errors show by themselves
	if len(r.Queues) > 0 {
		printf(t, "QUEUE\tQUEUED\tWITH WORKERS\t\n")
		for _, q := range r.Queues {
			note := ""
			if !q.Routed && q.Queued > 0 {
				note = "no worker has opened it"
			}
			printf(t, "%s\t%s\t%s\t%s\n", q.Name, thousands(q.Queued), thousands(q.Held), note)
		}
		printf(t, "\n")
	}
	r.printProviders(t)
	if len(r.Batches) > 0 {
		printf(t, "BATCH\tTOTAL\tANSWERED\tDEAD\tLEFT\tFILE\n")
		for _, b := range r.Batches {
			printf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, thousands(b.Total), thousands(b.Answered), thousands(b.Dead),
				thousands(b.Left), cut(b.File, 24))
			for _, c := range slices.SortedFunc(maps.Keys(b.ByClass), func(x, y policy.Class) int {
				return cmp.Or(b.ByClass[y]-b.ByClass[x], strings.Compare(string(x), string(y)))
			}) {
				printf(t, "  %s %s: %s\t\t\t\t\t\n", thousands(b.ByClass[c]), c, c.Owner())
			}
		}
	}
}

func (r *statusReport) printProviders(t io.Writer) {
	if len(r.Providers) == 0 {
		return
	}
	printf(t, "PROVIDER\tSTATE\tIN FLIGHT\tWINDOW\n")
	for _, p := range r.Providers {
		state := p.State
		if p.Hold == nil && time.Until(p.Until) > 0 {
			state += ", " + shortDuration(time.Until(p.Until))
		}
		printf(t, "%s\t%s\t%d\t%d\n", p.Name, state, p.InFlight, p.Window)
	}
	printf(t, "\n")
	for _, p := range r.Providers {
		if p.Hold != nil {
			if f, ok := t.(*tabwriter.Writer); ok {
				_ = f.Flush()
			}
			printHold(t, p.Hold)
			printf(t, "held for %s, next probe in %s, or: nightshift resume %s\n\n", shortDuration(time.Since(p.Hold.Since)),
				shortDuration(max(time.Until(p.Hold.Probe), 0)), p.Name)
		}
	}
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// completeBatches offers the ids of the batches to the shell.
func (a *app) completeBatches(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || a.setUp(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	s, err := a.attach(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer func() { _ = s.close() }()
	batches, err := s.batches(ctx, "")
	var ids []string
	for _, b := range batches {
		ids = append(ids, fmt.Sprintf("%s\t%s, %d jobs", b.ID, b.File, b.Total))
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
