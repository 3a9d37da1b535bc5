package consumer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/consumer/provider/openai"
	"nightshift/policy"
)

// tab is a provider that counts what it charges: each call uses as much as its prompt is long, and
// up to the answer's limit.
type tab struct {
	mu      sync.Mutex
	spent   policy.Spend
	refused map[string]int // how often a job is answered with a 500 first
}

func testPrices() policy.Prices {
	return policy.Prices{"m": {Input: 2, Output: 8}, "n": {Input: 4, Output: 16}}
}

// cost of a call with so many tokens of each kind, of model m; n's is twice that.
func cost(model string, in, out int64) policy.Spend {
	p := testPrices()[model]
	return policy.Spend{Money: p.Cost(policy.Usage{Input: in, Output: out}), Tokens: in + out}
}

func (b *tab) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	for n := 0; n < len(body); {
		k, err := r.Body.Read(body[n:])
		if n += k; err != nil {
			break
		}
	}
	model := policy.RequestModel(body)
	id := r.Header.Get("X-Client-Request-Id")
	// Real tokens are fewer than bytes; here half of them, and an answer of 1 to 20.
	use := cost(model, int64(len(body)/2), int64(1+len(id)*len(body)%20))
	b.mu.Lock()
	b.spent = b.spent.Plus(use)
	b.mu.Unlock()
	tokens := use.Tokens - int64(len(body)/2)
	usage := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d}`, len(body)/2, tokens)
	b.mu.Lock()
	bad := b.refused[id] > 0
	if bad {
		b.refused[id]--
	}
	b.mu.Unlock()
	if bad { // paid for, and no answer
		_, _ = fmt.Fprintf(out, `{"choices":[],%s}`, usage)
		return
	}
	_, _ = fmt.Fprintf(out, `{"model":%q,"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],%s}`, model, usage)
}

func (b *tab) total() policy.Spend {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}

// provider calls it, for a model of its own if that is not empty.
func (b *tab) provider(t *testing.T, model string) consumer.Provider {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	p, err := openai.New(openai.Config{BaseURL: server.URL + "/v1", Model: model, MaxInFlight: 200})
	check(t, err)
	t.Cleanup(p.Close)
	return p
}

// withTab has a worker call the counting provider, at a price.
func withTab(t *testing.T, b *tab) func(*consumer.Config) {
	t.Helper()
	return func(c *consumer.Config) {
		c.Accounts[0].Provider, c.Accounts[0].Prices = b.provider(t, ""), testPrices()
		c.Accounts[0].Guard.MaxInFlight, c.Accounts[0].Guard.Start = 100, 100
	}
}

// putPriced puts jobs of every length on the queue.
func (w *world) putPriced(t *testing.T, batch, model string, n int) {
	t.Helper()
	for i := range n {
		w.put(t, batch, fmt.Sprintf(`{"custom_id":"job-%d","body":{"model":%q,"max_tokens":20,"messages":[{"role":"user","content":%q}]}}`,
			i, model, strings.Repeat("word ", i%50)))
	}
}

func (w *world) paused(t *testing.T, scope consumer.PauseScope, name string) bool {
	t.Helper()
	all, err := w.store.Pauses(t.Context())
	check(t, err)
	for _, p := range all {
		if p.Scope == scope && p.Name == name {
			return consumer.OfBudget(p)
		}
	}
	return false
}

func (w *world) budget(t *testing.T, scope consumer.PauseScope, name string) policy.Budget {
	t.Helper()
	b, err := w.store.Budget(t.Context(), scope, name)
	check(t, err)
	return b
}

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

// settled waits until workers have written down all that was used.
func (w *world) settledBudget(t *testing.T, batch string) (b policy.Budget) {
	t.Helper()
	eventually(t, "all is settled", func() bool {
		b = w.budget(t, consumer.PauseBatch, batch)
		return b.Advanced(nil) == policy.Spend{}
	})
	return b
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

// The queue's limit of an answer goes into requests without one, and a request above the ceiling is
// dead without a call.
func TestMaxTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	var mu sync.Mutex
	got := map[string]int64{}
	p := serving(t, func(out http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		mu.Lock()
		got[strings.TrimPrefix(r.Header.Get("X-Client-Request-Id"), "b/")] = policy.ReadRequest(body).MaxOutput
		mu.Unlock()
		_, _ = fmt.Fprint(out, filler(1))
	})
	for id, body := range map[string]string{
		"none": `{"model":"m"}`, "empty": `{ }`, "own": `{"model":"m","max_tokens":50}`, "new": `{"model":"gpt-5","n":1}`,
		"above": `{"model":"m","max_completion_tokens":101}`,
	} {
		w.put(t, "b", fmt.Sprintf(`{"custom_id":%q,"body":%s}`, id, body))
	}
	w.start(t, func(c *consumer.Config) {
		c.Accounts[0].Provider = p
		c.Queues[0].MaxTokens, c.Queues[0].MaxTokensCeiling = 30, 100
	})
	w.ended(t, "b", 5)
	if l := w.letter(t, "b", "above"); l.Class != policy.BadRequest || l.Rule != "max_tokens ceiling" {
		t.Errorf("letter %+v", l)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, want := range map[string]int64{"none": 30, "empty": 30, "own": 50, "new": 30} {
		if got[id] != want {
			t.Errorf("%s: %d, want %d", id, got[id], want)
		}
	}
	if _, called := got["above"]; called {
		t.Error("called above the ceiling")
	}
}
