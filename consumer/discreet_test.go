package consumer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"nightshift/consumer"
	"nightshift/policy"
)

// sink is what a log is written to.
type sink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const (
	secretPrompt = "PLANTED-PROMPT"
	secretAnswer = "PLANTED-ANSWER"
	secretWords  = "PLANTED-WORDS"
)

// gossip repeats the prompt, the key and words of its own in every reply there is.
func gossip(out http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Client-Request-Id")
	status := map[string]int{"b/bad": 400, "b/busy": 429, "b/broken": 500, "b/key": 401, "b/gone": 404}[id]
	switch {
	case id == "b/half":
		out.Header().Set("Content-Length", "1000")
		_, _ = fmt.Fprint(out, secretAnswer)
		panic(http.ErrAbortHandler)
	case id == "b/garbage":
		_, _ = fmt.Fprint(out, secretAnswer, " is no JSON")
		return
	case status == 0:
		_, _ = fmt.Fprintf(out, `{"choices":[{"message":{"content":%q}}]}`, secretAnswer)
		return
	}
	out.WriteHeader(status)
	_, _ = fmt.Fprintf(out, `{"error":{"message":"%s: %s: key %s","code":"%s %s","type":"some_type"}}`,
		secretWords, secretPrompt, r.Header.Get("Authorization"), secretWords, secretPrompt)
}

func TestDiscretion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	var log sink
	p := serving(t, gossip)
	run := w.start(t, func(c *consumer.Config) {
		c.Log = zerolog.New(&log).Level(zerolog.TraceLevel)
		c.Accounts[0].Provider = p
		c.Queues[0].Attempts = 2
	})
	ids := []string{"good", "bad", "broken", "half", "garbage"}
	for _, id := range ids {
		w.put(t, "b", line(id, secretPrompt))
	}
	w.put(t, "b", `{"custom_id":"wrong","body":"`+secretPrompt+`"}`)
	w.put(t, "b", secretPrompt+` {"messages":`)
	w.ended(t, "b", len(ids)+2)
	w.drained(t)
	for _, id := range []string{"busy", "gone", "key"} {
		w.put(t, "b", line(id, secretPrompt))
	}
	h := w.hold(t)
	eventually(t, "the log of all", func() bool {
		return strings.Count(log.String(), "job settled") >= len(ids)+4
	})
	run.stop()
	check(t, run.wait(t))
	none(t, "the log", log.String(), secretPrompt, secretAnswer, secretWords, secretKey)
	if h.Class != policy.Auth || !strings.Contains(h.Words, secretWords) {
		t.Errorf("hold %+v", h)
	}
	none(t, "the words of the hold", h.Words, secretKey)
	h.Words = ""
	none(t, "the hold", marshal(t, h), secretPrompt, secretAnswer, secretWords, secretKey)
	words := marshal(t, run.Stats())
	none(t, "the stats", words, secretAnswer, secretKey)
	for l, err := range w.store.DeadLetters(t.Context(), "b") {
		check(t, err)
		l.Message, l.Body = "", nil // are the provider's and the author's
		for i := range l.Attempts {
			l.Attempts[i].Message = ""
		}
		none(t, "dead letter "+l.Key, marshal(t, l), secretPrompt, secretAnswer, secretWords, secretKey)
	}
}

func none(t *testing.T, what, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s tells %q: %s", what, s, text)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	check(t, err)
	return string(b)
}

// The signs of life of a worker at a held provider hold nothing of a job.
func TestWorkersAreDiscreet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	p := serving(t, gossip)
	w.start(t, func(c *consumer.Config) { c.Accounts[0].Provider, c.Worker = p, "me" })
	w.put(t, "b", line("key", secretPrompt))
	w.hold(t)
	var all []consumer.Worker
	eventually(t, "a beat", func() bool {
		var err error
		all, err = w.store.Workers(t.Context())
		check(t, err)
		return len(all) == 1 && all[0].Providers["acme"].Hold != nil
	})
	if all[0].ID != "me" || all[0].PID == 0 || all[0].Queues[0] != "default" || all[0].Calls != 1 {
		t.Errorf("worker %+v", all[0])
	}
	none(t, "the worker", marshal(t, all), secretAnswer, secretKey)
}
