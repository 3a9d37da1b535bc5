package consumer_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"nightshift/consumer"
	"nightshift/policy"
)

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
