package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/policy"
)

func known(n int64) policy.Amount { return policy.Amount{N: n, Known: true} }

func TestParseLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		h    []string
		want policy.Limits
	}{
		{"none", nil, policy.Limits{}},
		{"openai", []string{
			"x-ratelimit-limit-requests", "500", "x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "120ms",
			"x-ratelimit-limit-tokens", "30000", "x-ratelimit-remaining-tokens", "29000", "x-ratelimit-reset-tokens", "6m0s",
		}, policy.Limits{
			Requests: policy.Limit{Max: known(500), Remaining: known(0), Reset: 120 * time.Millisecond, Per: time.Minute},
			Tokens:   policy.Limit{Max: known(30000), Remaining: known(29000), Reset: 6 * time.Minute, Per: time.Minute},
		}},
		{"openai project", []string{
			"x-ratelimit-limit-tokens", "30000", "x-ratelimit-remaining-tokens", "29000",
			"x-ratelimit-limit-project-tokens", "9000", "x-ratelimit-remaining-project-tokens", "10",
		}, policy.Limits{Tokens: policy.Limit{Max: known(9000), Remaining: known(10), Per: time.Minute}}},
		{"azure", []string{
			"x-ratelimit-limit-requests", "-1", "x-ratelimit-remaining-requests", "-1",
			"x-ratelimit-limit-tokens", "0", "x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "17",
		}, policy.Limits{}},
		{
			"azure remaining alone",
			[]string{"x-ratelimit-remaining-tokens", "40", "x-ratelimit-reset-tokens", "17"},
			policy.Limits{Tokens: policy.Limit{Remaining: known(40), Reset: 17 * time.Second}},
		},
		{"anthropic", []string{
			"anthropic-ratelimit-requests-limit", "50", "anthropic-ratelimit-requests-remaining", "49",
			"anthropic-ratelimit-requests-reset", "2025-11-20T12:00:30Z",
			"anthropic-ratelimit-input-tokens-limit", "40000", "anthropic-ratelimit-input-tokens-remaining", "0",
			"anthropic-ratelimit-input-tokens-reset", "2025-11-20T11:00:00Z",
			"anthropic-ratelimit-output-tokens-limit", "8000", "anthropic-ratelimit-output-tokens-remaining", "8000",
		}, policy.Limits{
			Requests: policy.Limit{Max: known(50), Remaining: known(49), Reset: 30 * time.Second, Per: time.Minute},
			Input:    policy.Limit{Max: known(40000), Remaining: known(0), Per: time.Minute},
			Output:   policy.Limit{Max: known(8000), Remaining: known(8000), Per: time.Minute},
		}},
		{
			"behind LiteLLM",
			[]string{"llm_provider-x-ratelimit-remaining-requests", "3"},
			policy.Limits{Requests: policy.Limit{Remaining: known(3)}},
		},
		{
			"fireworks",
			[]string{"X-Ratelimit-Limit-Tokens-Prompt", "60000", "X-Ratelimit-Limit-Tokens-Generated", "600"},
			policy.Limits{
				Input:  policy.Limit{Max: known(60000), Per: time.Second},
				Output: policy.Limit{Max: known(600), Per: time.Second},
			},
		},
		{
			"mistral",
			[]string{"X-RateLimit-Remaining", "4"},
			policy.Limits{Requests: policy.Limit{Remaining: known(4)}},
		},
		{
			"reset as milliseconds since 1970",
			[]string{"X-RateLimit-Limit", "20", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1763640030000"},
			policy.Limits{Requests: policy.Limit{Max: known(20), Remaining: known(0), Reset: 30 * time.Second, Per: time.Second}},
		},
		{"nonsense", []string{"x-ratelimit-limit-tokens", "NaN", "x-ratelimit-remaining-tokens", "5"}, policy.Limits{}},
	} {
		if d := cmp.Diff(c.want, policy.ParseLimits(headers(c.h...), noon())); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
	}
}
