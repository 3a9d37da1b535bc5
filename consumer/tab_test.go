package consumer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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

// settled waits until workers have written down all that was used.
func (w *world) settledBudget(t *testing.T, batch string) (b policy.Budget) {
	t.Helper()
	eventually(t, "all is settled", func() bool {
		b = w.budget(t, consumer.PauseBatch, batch)
		return b.Advanced(nil) == policy.Spend{}
	})
	return b
}
