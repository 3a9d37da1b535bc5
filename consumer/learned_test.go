package consumer_test

import (
	"encoding/json"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// write puts a value into FLEET.
func (w *world) write(t *testing.T, key string, data []byte) {
	t.Helper()
	kv, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	_, err = kv.Put(t.Context(), key, data)
	check(t, err)
}

func (r *worker) window() int { return r.Stats().Providers["acme"].Window }

// The next worker begins where the last one was, and needs not find out anew.
func TestWindowIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=5ms")
	w.putMany(t, "b", 2000, "x")
	wide := func(c *consumer.Config) { c.Accounts[0].Guard.MaxInFlight = 64 }
	first := w.start(t, wide)
	w.ended(t, "b", 2000)
	first.stop()
	check(t, first.wait(t))
	had := first.window()
	if had <= 16 {
		t.Fatalf("the first has a window of %d", had)
	}
	w.put(t, "b", line("next", "[[sim:hang]]"))
	second := w.start(t, wide, func(c *consumer.Config) { c.Grace = time.Millisecond })
	eventually(t, "it remembers", func() bool { return second.window() == had })
}

// What is old, or is no such thing, is not gone by.
func TestOddMemoriesAreIgnored(t *testing.T) {
	t.Parallel()
	old, err := json.Marshal(policy.Learned{At: time.Now().Add(-48 * time.Hour), Window: 20, Latency: time.Second})
	check(t, err)
	for name, text := range map[string]string{
		"garbage": "{", "other": `"x"`, "negative": `{"window":-3}`, "huge": `{"window":1e400}`, "old": string(old),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			w.write(t, "learned.acme", []byte(text))
			w.write(t, "learned.nobody", []byte(text))
			run := w.start(t)
			eventually(t, "it has begun", func() bool {
				all, err := w.store.Workers(t.Context())
				check(t, err)
				return len(all) == 1
			})
			if got := run.window(); got != 16 {
				t.Errorf("window %d", got)
			}
			w.put(t, "b", line("j", "x"))
			w.ending(t, "b", "j")
		})
	}
}
