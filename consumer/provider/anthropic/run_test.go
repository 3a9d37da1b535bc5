package anthropic_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/consumer"
	"nightshift/consumer/provider/anthropic"
	"nightshift/deploy/broker/brokertest"
	"nightshift/policy"
	"nightshift/producer"
)

// Chat lines go through the queue to Anthropic and end as OpenAI's lines would: answered also
// after an overload, and dead where Anthropic cannot do what they ask.
func TestRun(t *testing.T) {
	t.Parallel()
	calls := 0
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(529)
			_, _ = io.WriteString(w, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, told)
	})
	js, err := jetstream.New(brokertest.New(t).Conn())
	must(t, err)
	prod, err := producer.New(t.Context(), js, producer.Config{})
	must(t, err)
	c, err := consumer.New(t.Context(), js, consumer.Config{
		Accounts: []consumer.Account{{
			Name: "claude", Provider: open(t, anthropic.Config{BaseURL: url, Stream: true}),
			Guard: policy.GuardConfig{RetryDelay: 10 * time.Millisecond},
		}},
		Queues: []consumer.Queue{{Name: "q", Account: "claude"}},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() { cancel(); must(t, <-done) }()

	for id, more := range map[string]string{"good": "", "bad": `"n":2,`} {
		must(t, prod.Publish(t.Context(), "q", "", []byte(`{"custom_id":"`+id+`","method":"POST","url":"/v1/chat/completions",`+
			`"body":{`+more+`"model":"claude-x","messages":[{"role":"user","content":"hi"}]}}`)))
	}
	store, err := consumer.OpenStore(t.Context(), js, 1)
	must(t, err)
	good := await(t, func() (consumer.Ending, error) { return store.Ending(t.Context(), producer.LooseBatch, "good") })
	for _, want := range []string{`"custom_id":"good"`, `"status_code":200`, `"object":"chat.completion"`, `"finish_reason":"tool_calls"`, usage} {
		if !strings.Contains(string(good.Line), want) {
			t.Errorf("no %s in %s", want, good.Line)
		}
	}
	letter := await(t, func() (consumer.DeadLetter, error) {
		return store.DeadLetter(t.Context(), producer.LooseBatch, "", "bad")
	})
	if letter.Class != policy.BadRequest {
		t.Errorf("dead letter %+v", letter)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await asks until there is an ending.
func await[T any](t *testing.T, ask func() (T, error)) T {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		v, err := ask()
		if !errors.Is(err, consumer.ErrNoEnding) {
			must(t, err)
			return v
		}
	}
	t.Fatal("a job has no ending")
	return *new(T)
}
