package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
)

func (a *app) budgetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "budget BATCH",
		Short: "Show or raise what a batch may spend",
		Long: "budget shows what the calls of a batch may use and have used. With --usd or\n" +
			"--tokens it moves the limit, and a batch that was held by it goes on. The limit is\n" +
			"hard: every call reserves the most it can use before it is made.",
		Example: "  nightshift budget b3kq2m7xw4zt\n  nightshift budget b3kq2m7xw4zt --usd 50\n" +
			"  nightshift budget b3kq2m7xw4zt --tokens 80000000 --json",
		Args:              oneArg("BATCH"),
		ValidArgsFunction: a.completeBatches,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.budget(cmd.Context(), args[0]) },
	}
	fs := cmd.Flags()
	fs.Float64Var(&a.flags.budget.USD, "usd", 0, "most `dollars` that its calls may cost, all together")
	fs.Int64Var(&a.flags.budget.Tokens, "tokens", 0, "most `tokens` that its calls may use, all together")
	fs.BoolVar(&a.flags.json, "json", false, "print it as JSON")
	return cmd
}

func (a *app) budget(ctx context.Context, batch string) error {
	if err := a.flags.budget.check(); err != nil {
		return usageError{hint(fmt.Errorf("--usd %v, --tokens %d: %w", a.flags.budget.USD, a.flags.budget.Tokens, err),
			"such as --usd 50")}
	}
	return a.attached(ctx, func(s *session) error { return a.showBudget(ctx, s, batch) })
}

// showBudget raises the budget where the flags say so, and prints it.
func (a *app) showBudget(ctx context.Context, s *session, batch string) error {
	if _, err := s.producer.Batch(ctx, batch); err != nil {
		return noBatch(err)
	}
	if limit := a.flags.budget.spend(); limit != (policy.Spend{}) {
		if err := s.raiseBudget(ctx, batch, limit); err != nil {
			return err
		}
	}
	r, err := s.budgetOf(ctx, batch)
	if errors.Is(err, consumer.ErrNoBudget) {
		return hint(fmt.Errorf("batch %s has no budget", batch), "set one with nightshift budget %s --usd N", batch)
	}
	if err != nil {
		return err
	}
	return a.printBudget(r)
}

// raiseBudget moves the limit, then lifts the hold: in this order no worker holds it anew.
func (s *session) raiseBudget(ctx context.Context, batch string, limit policy.Spend) error {
	_, err := s.store.SetBudget(ctx, consumer.PauseBatch, batch, limit)
	if errors.Is(err, policy.ErrBelowSpent) {
		r, rerr := s.budgetOf(ctx, batch)
		if rerr != nil {
			return rerr
		}
		return hint(fmt.Errorf("batch %s: %w", batch, err), "it has used %s, and workers have %s in advance",
			r.Used.Spent.words(), r.Advanced.words())
	}
	if err != nil {
		return err
	}
	return s.store.LiftBudget(ctx, consumer.PauseBatch, batch)
}

// spent is an amount as it is reported.
type spent struct {
	USD    *float64 `json:"usd,omitempty"`
	Tokens int64    `json:"tokens,omitempty"`
}

func report(a policy.Spend, money bool) spent {
	s := spent{Tokens: a.Tokens}
	if usd := a.Money.USD(); money {
		s.USD = &usd
	}
	return s
}

// words is the amount for people.
func (s spent) words() string {
	var parts []string
	if s.USD != nil {
		parts = append(parts, policy.Dollars(*s.USD).String())
	}
	if s.Tokens != 0 || s.USD == nil {
		parts = append(parts, plural(int(s.Tokens), "token"))
	}
	return strings.Join(parts, " and ")
}

// budgetReport is what budget and status show of a budget.
type budgetReport struct {
	Batch string `json:"batch"`
	Limit spent  `json:"limit"`
	Used  struct {
		Spent spent `json:"spent"`
		// Wasted is the part that bought no answer, Unknown how many calls of it did not say what
		// they used.
		Wasted  spent `json:"wasted"`
		Calls   int64 `json:"calls"`
		Unknown int64 `json:"calls_of_unknown_use,omitempty"`
	} `json:"used"`
	// Advanced is what workers may use without asking; Lost what those had that died: it counts as
	// spent, as they may have spent it.
	Advanced spent `json:"advanced"`
	Lost     spent `json:"lost"`
	// Held says that it holds the batch, and why.
	Held string `json:"held,omitempty"`
}

func (s *session) budgetOf(ctx context.Context, batch string) (*budgetReport, error) {
	b, err := s.store.Budget(ctx, consumer.PauseBatch, batch)
	if err != nil {
		return nil, err
	}
	dead, err := s.store.BudgetDead(ctx)
	if err != nil {
		return nil, err
	}
	pauses, err := s.store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	money, used := b.Cap.Money > 0, b.Used()
	lost := b.Advanced(dead)
	r := &budgetReport{
		Batch: batch, Limit: report(b.Cap, money),
		Advanced: report(b.Advanced(nil).Minus(lost), money), Lost: report(lost, money),
	}
	r.Used.Spent, r.Used.Wasted = report(used.Spent, money), report(used.Wasted, money)
	r.Used.Calls, r.Used.Unknown = used.Calls, used.Unknown
	for _, p := range pauses {
		if p.Scope == consumer.PauseBatch && p.Name == batch && consumer.OfBudget(p) {
			r.Held = p.Reason
		}
	}
	return r, nil
}

func (a *app) printBudget(r *budgetReport) error {
	if a.flags.json {
		if err := json.NewEncoder(a.stdout).Encode(r); err != nil {
			return fmt.Errorf("write standard output: %w", err)
		}
		return nil
	}
	r.print(a.stdout)
	return nil
}

func (r *budgetReport) print(w io.Writer) {
	field := func(name, value string) { printf(w, "%-10s %s\n", name, value) }
	field("batch", r.Batch)
	field("budget", r.Limit.words())
	field("spent", r.Used.Spent.words()+" on "+plural(int(r.Used.Calls), "call"))
	if waste := r.Used.Wasted; waste.Tokens != 0 {
		field("wasted", waste.words()+" of it on calls without an answer")
	}
	if r.Used.Unknown > 0 {
		field("", plural(int(r.Used.Unknown), "call")+" did not say what they used: the most they can have counts")
	}
	if r.Advanced.Tokens != 0 || r.Advanced.USD != nil && *r.Advanced.USD != 0 {
		field("advanced", r.Advanced.words()+" to workers")
	}
	if r.Lost.Tokens != 0 || r.Lost.USD != nil && *r.Lost.USD != 0 {
		field("lost", r.Lost.words()+" at most, with workers that died")
	}
	if r.Held != "" {
		field("held", r.Held)
	}
}
