package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nightshift/consumer/provider/sim"
)

func sized(model string, prompt, out int) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`, model, out, strings.Repeat("x", 4*prompt))
}

func TestContextByModel(t *testing.T) {
	t.Parallel()
	l := serve(t, "context=100/ft:big:1000/free:0")
	for _, c := range []struct {
		model       string
		prompt, out int
		refused     bool
	}{
		{"small", 80, 5, false},
		{"small", 80, 40, true},
		{"small", 200, 5, true},
		{"ft:big", 200, 5, false},
		{"ft:big", 2000, 5, true},
		{"free", 9000, 5, false},
	} {
		r := l.post(t, chatPath, "", sized(c.model, c.prompt, c.out))
		if (r.status == 400) != c.refused {
			t.Errorf("%+v: %d %s", c, r.status, r.body)
			continue
		}
		if !c.refused {
			continue
		}
		kind, code, message := r.failure(t)
		if kind != "invalid_request_error" || code != "context_length_exceeded" ||
			!strings.Contains(message, "However, you requested ") ||
			!strings.Contains(message, fmt.Sprintf("%d in the completion", c.out)) {
			t.Errorf("%+v: %s", c, r.body)
		}
	}
}

func TestAnswerEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	l := serve(t, "words=8")
	for out, want := range map[int]string{3: "length", 8: "stop", 100: "stop"} {
		r := l.post(t, chatPath, "", sized("m", 1, out))
		if got := dig(t, r.body, "choices", 0, "finish_reason"); got != want {
			t.Errorf("%d tokens: %v", out, got)
		}
		if got := dig(t, r.body, "usage", "completion_tokens"); got != float64(min(out, 8)) {
			t.Errorf("%d tokens: used %v", out, got)
		}
	}
}

func TestContextsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want sim.Config
		for range rapid.IntRange(0, 4).Draw(t, "models") {
			want.Contexts = append(want.Contexts, sim.Context{
				Model:  rapid.StringMatching(`([a-z][a-z0-9:.-]{0,9})?`).Draw(t, "model"),
				Tokens: rapid.IntRange(0, 1<<40).Draw(t, "tokens"),
			})
		}
		got, err := sim.Parse(want.String())
		if err != nil || got.String() != want.String() || len(got.Contexts) != len(want.Contexts) {
			t.Fatalf("%s: %+v, %v", want, got, err)
		}
	})
}
