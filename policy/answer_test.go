package policy_test

import (
	"testing"

	"nightshift/policy"
)

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]policy.Answer{
		`{"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"finish_reason":"length"}],` +
			`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4}}}`: {"m", "stop", 9, 2},
		`{"type":"message","model":"c","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn",` +
			`"usage":{"input_tokens":7,"output_tokens":3}}`: {"c", "end_turn", 7, 3},
		`{"status":"completed","output":[],"usage":{"input_tokens":1,"output_tokens":1}}`:         {"", "completed", 1, 1},
		`{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}`: {"", "max_output_tokens", 0, 0},
		`{"incomplete_details":{"reason":"content_filter"},"status":"incomplete","model":"m"}`:    {"m", "content_filter", 0, 0},
		`{"status":"completed","incomplete_details":null}`:                                        {"", "completed", 0, 0},
		`{"choices":[{"finish_reason":"stop","message":{"content":null,"refusal":"I cannot"}}]}`:  {"", "refusal", 0, 0},
		`{"choices":[{"message":{"refusal":"I cannot","content":null},"finish_reason":"stop"}]}`:  {"", "refusal", 0, 0},
		`{"choices":[{"message":{"refusal":null,"content":"a"},"finish_reason":"stop"}]}`:         {"", "stop", 0, 0},
		// A gateway that counts in both dialects does not count twice.
		`{"usage":{"prompt_tokens":9,"input_tokens":9,"completion_tokens":2,"output_tokens":2}}`: {"", "", 9, 2},
		`{"model":5,"choices":{},"usage":[],"status":null}`:                                      {},
		`{"model":"m","usage":{"prompt_tokens":null,"completion_tokens":"2"}}`:                   {"m", "", 0, 0},
		`{"choices":[],"model":"m"}`:                                                             {"m", "", 0, 0},
		`{"choices":[7],"model":"m"}`:                                                            {"m", "", 0, 0},
		`{"model":"m","choices":[{"fin`:                                                          {"m", "", 0, 0},
		`[]`:                                                                                     {},
		``:                                                                                       {},
	} {
		if got := policy.ReadAnswer([]byte(body)); got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(`{"model":"m","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9}}`))
	f.Fuzz(func(_ *testing.T, body []byte) { policy.ReadAnswer(body) })
}

func TestEnded(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]policy.Ending{
		"": policy.Whole, "stop": policy.Whole, "tool_calls": policy.Whole, "end_turn": policy.Whole, "completed": policy.Whole,
		"length": policy.Cut, "max_tokens": policy.Cut, "max_output_tokens": policy.Cut, "incomplete": policy.Cut,
		"model_context_window_exceeded": policy.Cut,
		"content_filter":                policy.Withheld, "refusal": policy.Withheld,
	} {
		if got := (policy.Answer{FinishReason: reason}).Ended(); got != want {
			t.Errorf("%q: %d, want %d", reason, got, want)
		}
	}
}
