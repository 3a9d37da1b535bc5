package main

import (
	"context"
	"errors"
	"fmt"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// batchBudget is what a batch may use: what the flags say, or for one with a queue of its own what
// the default queue may. The budget of a configured queue is kept by its workers, for all batches.
func (a *app) batchBudget(queue string) budgetConfig {
	if _, configured := a.config.Queues[queue]; configured || a.flags.budget != (budgetConfig{}) {
		return a.flags.budget
	}
	return a.config.Queues[defaultQueue].Budget
}

// limitBatch sets the budget of a batch that has none yet. A batch keeps the one it has: to raise
// it is a decision of its own.
func (a *app) limitBatch(ctx context.Context, s *session, batch, queue string) error {
	limit := a.batchBudget(queue).spend()
	if limit == (policy.Spend{}) {
		return nil
	}
	b, err := s.store.Budget(ctx, consumer.PauseBatch, batch)
	switch {
	case errors.Is(err, consumer.ErrNoBudget):
		_, err = s.store.SetBudget(ctx, consumer.PauseBatch, batch, limit)
	case err == nil && b.Cap != limit && a.flags.budget != (budgetConfig{}):
		printf(a.stderr, "batch %s keeps its budget of %s; to change it: nightshift budget %s --usd N\n",
			batch, report(b.Cap, b.Cap.Money > 0).words(), batch)
	}
	return err
}

// errOutOfBudget ends a run whose batch is held by its budget.
var errOutOfBudget = errors.New("out of budget")

// outOfBudget says whether a budget holds the batch or its queue.
func (r *runState) outOfBudget() error {
	if r.consumer.OutOfBudget(r.batch.ID, r.batch.Queue) {
		return errOutOfBudget
	}
	return nil
}

// toldBudget says what was spent and how to go on, where that is why the run ended.
func (r *runState) toldBudget(ctx context.Context, err error) error {
	if !errors.Is(err, errOutOfBudget) {
		return err
	}
	report, berr := r.budgetOf(ctx, r.batch.ID)
	if errors.Is(berr, consumer.ErrNoBudget) {
		printf(r.stderr, "queue %s is held by its budget, every job is kept\n"+
			"to go on: raise it in the configuration and run the same command again\n", r.batch.Queue)
		return exitCode(exitHeld)
	}
	if berr != nil {
		return berr
	}
	report.print(r.stderr)
	if report.Held == consumer.ReasonNoPrice {
		printf(r.stderr, "every job is kept: add the price of every model to the configuration, then\n")
	} else {
		printf(r.stderr, "every job is kept; to go on:\n")
	}
	printf(r.stderr, "  nightshift budget %s %s\nand run the same command again\n", r.batch.ID, report.raise())
	return exitCode(exitHeld)
}

// raise is the flag that doubles what there is a limit on.
func (r *budgetReport) raise() string {
	if r.Limit.USD != nil {
		return fmt.Sprintf("--usd %v", 2**r.Limit.USD)
	}
	return fmt.Sprintf("--tokens %d", 2*r.Limit.Tokens)
}

// checkPriced refuses a budget in money for a file with a model that has no price.
func (a *app) checkPriced(ctx context.Context, src *producer.Source, r producer.Report, queue string) error {
	if a.batchBudget(queue).USD == 0 && a.config.Queues[queue].Budget.USD == 0 {
		return nil
	}
	models, override := a.priced(queue)
	for e, err := range src.Entries(ctx, r, a.limits) {
		if err != nil {
			return err
		}
		model := firstOf(override, policy.RequestModel(e.Job.Body))
		if _, ok := models.Price(model); !ok && e.Err == nil {
			return hint(fmt.Errorf("line %d: no price for model %q, and the budget is in dollars", e.Line, model),
				"add it to prices in %s, or limit the tokens with --budget-tokens", defaultConfigFile)
		}
	}
	return nil
}

// priced are the prices that hold for a queue, and the model that goes over those of the jobs.
func (a *app) priced(queue string) (policy.Prices, string) {
	n, err := a.baseProvider(queue)
	if err != nil { // no key is needed to know a price
		return a.config.Prices, a.flags.model
	}
	return a.config.pricesOf(n.providerConfig), firstOf(a.flags.model, n.Model)
}
