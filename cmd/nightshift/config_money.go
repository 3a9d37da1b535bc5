package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/spf13/pflag"

	"nightshift/consumer"
	"nightshift/policy"
)

// budgetConfig is a limit on what a queue's jobs may use; a part that is zero is no limit.
type budgetConfig struct {
	USD    float64 `yaml:"usd"`
	Tokens int64   `yaml:"tokens"`
}

func (b budgetConfig) spend() policy.Spend {
	return policy.Spend{Money: policy.Dollars(b.USD), Tokens: b.Tokens}
}

// maxBudget is more than anybody has, and no more than billionths of a dollar can count.
const maxBudget = 1e9

func (b budgetConfig) check() error {
	if !(b.USD >= 0 && b.USD <= maxBudget) || b.Tokens < 0 || b.Tokens > math.MaxInt64/4 {
		return errors.New("use a positive amount")
	}
	return nil
}

// budgeting registers the flags of commands that limit a batch.
func (f *flags) budgeting(fs *pflag.FlagSet) {
	fs.Float64Var(&f.budget.USD, "budget-usd", 0,
		"most `dollars` that the batch's calls may cost; needs prices in the configuration (default no limit)")
	fs.Int64Var(&f.budget.Tokens, "budget-tokens", 0,
		"most `tokens` that the batch's calls may use, in and out (default no limit)")
	fs.BoolVar(&f.estimate, "estimate", false,
		"only count the tokens of the file and what they may cost; nothing is submitted")
}

func (a *app) checkBudget() error {
	if err := a.flags.budget.check(); err != nil {
		return usageError{hint(fmt.Errorf("--budget-usd %v, --budget-tokens %d: %w",
			a.flags.budget.USD, a.flags.budget.Tokens, err),
			"such as --budget-usd 20")}
	}
	return nil
}

// checkMoney looks at the prices and budgets of the configuration.
func (c *config) checkMoney(path string) error {
	err := checkPrices(path+": prices", c.Prices)
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		err = firstOf(err, checkPrices(path+": provider "+name+": prices", c.Providers[name].Prices))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		q := c.Queues[name]
		if bad := q.Budget.check(); bad != nil {
			err = firstOf(err, fmt.Errorf("%s: queue %s: budget: %w", path, name, bad))
		}
		if q.MaxTokens < 0 || q.MaxTokensCeiling < 0 || q.MaxTokensCeiling > 0 && q.MaxTokens > q.MaxTokensCeiling {
			err = firstOf(err, fmt.Errorf("%s: queue %s: max_tokens is above max_tokens_ceiling, or one is negative",
				path, name))
		}
	}
	return err
}

func checkPrices(where string, prices policy.Prices) error {
	for _, model := range slices.Sorted(maps.Keys(prices)) {
		if err := prices[model].Validate(); err != nil {
			return fmt.Errorf("%s: %s: %w", where, model, err)
		}
	}
	return nil
}

// pricesOf are a provider's own prices over those for all.
func (c *config) pricesOf(p providerConfig) policy.Prices {
	all := maps.Clone(c.Prices)
	if all == nil {
		return p.Prices
	}
	maps.Copy(all, p.Prices)
	return all
}

// bill is what the endings of a batch cost.
type bill struct {
	answers, wasted  policy.Money
	priced, unpriced int
}

func (b *bill) add(m consumer.Meta, dead bool) {
	b.wasted += m.Wasted
	switch {
	case dead:
	case m.Cost == nil:
		b.unpriced++
	default:
		b.priced++
		b.answers += *m.Cost
	}
}

// tell says nothing where no model has a price.
func (b *bill) tell(field func(name, format string, args ...any)) {
	switch {
	case b.priced == 0 && b.wasted == 0:
		return
	case b.unpriced > 0:
		field("cost", "%s, and unknown for %s", b.answers, plural(b.unpriced, "answer"))
	default:
		field("cost", "%s", b.answers)
	}
	if b.wasted > 0 {
		field("wasted", "%s at most, on calls without an answer", b.wasted)
	}
}
