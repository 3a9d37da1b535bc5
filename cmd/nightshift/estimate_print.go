package main

import (
	"io"
	"slices"

	"nightshift/policy"
)

// judge says whether the file fits a budget.
func (e *estimate) judge(limit policy.Spend) {
	if limit == (policy.Spend{}) {
		return
	}
	b := report(limit, limit.Money > 0)
	e.Budget, e.Fits = &b, "yes"
	if limit.Tokens > 0 && (e.Unbounded > 0 || e.InputTokens+e.MaxOutputTokens > limit.Tokens) ||
		limit.Money > 0 && (e.MostUSD == nil || *e.MostUSD > limit.Money.USD()) {
		e.Fits = "perhaps"
	}
	if limit.Tokens > 0 && e.InputTokens > limit.Tokens || limit.Money > 0 && e.LeastUSD != nil &&
		*e.LeastUSD > limit.Money.USD() {
		e.Fits = "no"
	}
	if limit.Money > 0 && e.LeastUSD == nil {
		e.Fits = "unknown: a model has no price"
	}
}

func (e *estimate) print(w io.Writer) {
	rows := [][]string{{"MODEL", "JOBS", "TOKENS IN", "TOKENS OUT", "COST"}}
	for _, m := range append(slices.Clone(e.Models), e.modelEstimate) {
		rows = append(rows, []string{
			cut(m.Model, 28), thousands(m.Jobs), thousands(int(m.InputTokens)), m.outputWords(), m.costWords(),
		})
	}
	if len(e.Models) == 1 {
		rows = rows[:2]
	}
	table(w, rows)
	if e.Unbounded > 0 {
		printf(w, "\n%s\n", fold(plural(e.Unbounded, "job")+
			" without max_tokens: set max_tokens on the queue, or max_output beside the price, to know the most", 0))
	}
	if e.Parts > 0 {
		printf(w, "\n%s\n", plural(e.Parts, "picture, sound or file")+" not counted")
	}
	if e.Budget != nil {
		printf(w, "\nfits the budget of %s: %s\n", e.Budget.words(), e.Fits)
	}
}

func (m *modelEstimate) outputWords() string {
	if m.Unbounded > 0 {
		return "unknown"
	}
	return "0 to " + thousands(int(m.MaxOutputTokens))
}

func (m *modelEstimate) costWords() string {
	switch {
	case m.LeastUSD == nil:
		return "no price"
	case m.MostUSD == nil:
		return "from " + policy.Dollars(*m.LeastUSD).String()
	}
	return policy.Dollars(*m.LeastUSD).String() + " to " + policy.Dollars(*m.MostUSD).String()
}
