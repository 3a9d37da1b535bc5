package consumer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// Two workers with a hundred calls in flight each never exceed the limit, use most of it, hold the
// batch and not the others', and go on when the limit is raised, with nothing lost.
func TestBudgetIsHard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	b := &tab{refused: map[string]int{"b/job-3": 1, "b/job-40": 1}}
	const n = 600
	w.putPriced(t, "b", "m", n)
	limit := policy.Spend{Money: policy.Dollars(.05)}
	_, err := w.store.SetBudget(t.Context(), consumer.PauseBatch, "b", limit)
	check(t, err)
	edit := withTab(t, b)
	w.start(t, edit)
	w.start(t, edit)
	eventually(t, "the batch is held", func() bool { return w.paused(t, consumer.PauseBatch, "b") })
	if spent := b.total(); spent.Money > limit.Money {
		t.Errorf("spent %+v of %+v", spent, limit)
	}
	w.putPriced(t, "other", "m", 20)
	w.ended(t, "other", 20)
	record := w.settledBudget(t, "b")
	if used := record.Used().Spent.Money; used > limit.Money || used < limit.Money*9/10 {
		t.Errorf("spent %v of %v: %+v", used, limit.Money, record)
	}
	_, err = w.store.SetBudget(t.Context(), consumer.PauseBatch, "b", policy.Spend{Money: policy.Dollars(10)})
	check(t, err)
	check(t, w.store.LiftBudget(t.Context(), consumer.PauseBatch, "b"))
	if got := w.ended(t, "b", n); got.Dead != 0 {
		t.Errorf("counts %+v", got)
	}
	w.drained(t)
	var sum policy.Money
	for e, err := range w.store.Endings(t.Context(), "b") {
		check(t, err)
		if e.Meta.Cost == nil {
			t.Fatalf("no cost: %+v", e.Meta)
		}
		sum += *e.Meta.Cost
	}
	record = w.settledBudget(t, "b")
	if used := record.Used(); used.Spent.Money != sum+used.Wasted.Money || used.Wasted.Money == 0 || used.Unknown != 0 {
		t.Errorf("spent %+v, answers %v", used, sum)
	}
}

// The limit holds at every moment, for money and tokens, queue and batch, fallbacks and retries.
func TestBudgetOfQueueAndTokens(t *testing.T) {
	t.Parallel()
	for _, limit := range []policy.Spend{{Tokens: 20_000}, {Money: policy.Dollars(.03)}, {Money: policy.Dollars(.03), Tokens: 9000}} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			b := &tab{refused: map[string]int{}}
			for i := range 40 {
				b.refused[fmt.Sprintf("b/job-%d", 5*i)] = 1
			}
			w.putPriced(t, "b", "m", 300)
			edit := withTab(t, b)
			for range 2 {
				w.start(t, edit, func(c *consumer.Config) { c.Queues[0].Budget = limit })
			}
			eventually(t, "the queue is held", func() bool { return w.paused(t, consumer.PauseQueue, "default") })
			var record policy.Budget
			eventually(t, "all is settled", func() bool {
				record = w.budget(t, consumer.PauseQueue, "default")
				return record.Advanced(nil) == policy.Spend{}
			})
			spent := b.total()
			if limit.Money > 0 && spent.Money > limit.Money || limit.Tokens > 0 && spent.Tokens > limit.Tokens {
				t.Errorf("spent %+v of %+v", spent, limit)
			}
			if used := record.Used().Spent; used != spent {
				t.Errorf("the record says %+v, the provider %+v", used, spent)
			}
		})
	}
}

// A fallback's calls are paid at its own price.
func TestBudgetCountsFallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	b := &tab{}
	w.putPriced(t, "b", "m", 200)
	limit := policy.Spend{Money: policy.Dollars(.04)}
	_, err := w.store.SetBudget(t.Context(), consumer.PauseBatch, "b", limit)
	check(t, err)
	edit := withTab(t, b)
	refusing := serving(t, func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(out, `{"error":{"code":"context_length_exceeded","message":"too long"}}`)
	})
	w.start(t, edit, func(c *consumer.Config) {
		other := c.Accounts[0]
		other.Name, other.Model, other.Provider = "acme/n", "n", b.provider(t, "n")
		c.Accounts[0].Provider = refusing
		c.Accounts = append(c.Accounts, other)
		c.Queues[0].Fallbacks = []consumer.Fallback{{Account: "acme/n"}}
	})
	eventually(t, "the batch is held", func() bool { return w.paused(t, consumer.PauseBatch, "b") })
	record := w.settledBudget(t, "b")
	if spent := b.total(); spent.Money > limit.Money || record.Used().Spent != spent || spent.Money == 0 {
		t.Errorf("spent %+v of %+v, the record says %+v", spent, limit, record.Used())
	}
}

// A model without a price holds a batch that is limited in dollars, before any call.
func TestBudgetWithoutPrice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	b := &tab{}
	w.putPriced(t, "b", "m", 5)
	_, err := w.store.SetBudget(t.Context(), consumer.PauseBatch, "b", policy.Spend{Money: policy.Dollar})
	check(t, err)
	edit := withTab(t, b)
	w.start(t, edit, func(c *consumer.Config) { c.Accounts[0].Prices = nil })
	eventually(t, "the batch is held", func() bool { return w.paused(t, consumer.PauseBatch, "b") })
	if n := w.jobs(t); n != 5 || b.total() != (policy.Spend{}) {
		t.Errorf("%d jobs left, spent %+v", n, b.total())
	}
}

// A limit cannot be moved below what is spent or in the hands of workers, and what a worker that is
// gone had in advance counts as spent.
func TestBudgetOfTheDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	_, err := w.store.Budget(t.Context(), consumer.PauseBatch, "b")
	if !errors.Is(err, consumer.ErrNoBudget) {
		t.Errorf("%v", err)
	}
	record := policy.Budget{Cap: policy.Spend{Money: policy.Dollars(.02)}}
	record.Put("w-gone", policy.Share{Advance: policy.Spend{Money: policy.Dollars(.0199)}, At: time.Now().Add(-time.Minute)})
	data, err := json.Marshal(record)
	check(t, err)
	fleet, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	_, err = fleet.Put(t.Context(), "budget.batch.b", data)
	check(t, err)
	if _, err := w.store.SetBudget(t.Context(), consumer.PauseBatch, "b", policy.Spend{Money: policy.Dollars(.01)}); !errors.Is(err, policy.ErrBelowSpent) {
		t.Errorf("%v", err)
	}
	b := &tab{}
	w.putPriced(t, "b", "m", 10)
	w.start(t, withTab(t, b))
	eventually(t, "the batch is held", func() bool { return w.paused(t, consumer.PauseBatch, "b") })
	if b.total() != (policy.Spend{}) {
		t.Errorf("spent %+v", b.total())
	}
}
