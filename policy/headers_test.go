package policy_test

import (
	"net/http"
	"net/textproto"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

func noon() time.Time { return time.Date(2025, 11, 20, 12, 0, 0, 0, time.UTC) }

func headers(pairs ...string) textproto.MIMEHeader {
	h := textproto.MIMEHeader{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	message := func(s string) string { return `{"error":{"message":` + strconv.Quote(s) + `}}` }
	for _, c := range []struct {
		name   string
		header textproto.MIMEHeader
		body   string
		want   time.Duration
	}{
		{"nothing", nil, "", 0},
		{"seconds", headers("Retry-After", "26"), "", 26 * time.Second},
		{"decimal", headers("Retry-After", " 7.66 "), "", 7660 * time.Millisecond},
		{"date", headers("Retry-After", noon().Add(90*time.Second).Format(http.TimeFormat)), "", 90 * time.Second},
		{"past date", headers("Retry-After", noon().Add(-time.Hour).Format(http.TimeFormat)), "", 0},
		{"date by a slow clock", headers("Retry-After", noon().Add(-50*time.Minute).Format(http.TimeFormat),
			"Date", noon().Add(-time.Hour).Format(http.TimeFormat)), "", 10 * time.Minute},
		{"ms", headers("Retry-After-Ms", "1500"), "", 1500 * time.Millisecond},
		{"the later", headers("Retry-After-Ms", "1500", "Retry-After", "2"), "", 2 * time.Second},
		{"behind LiteLLM", headers("llm_provider-retry-after", "9"), "", 9 * time.Second},
		{"negative", headers("Retry-After", "-5"), "", 0},
		{"absurd", headers("Retry-After", "1e300"), "", 24 * time.Hour},
		{"NaN", headers("Retry-After", "NaN"), "", 0},
		{"Inf", headers("Retry-After", "-Inf"), "", 0},
		{"header before message", headers("Retry-After", "3"), message("try again in 7s"), 3 * time.Second},
		{"unreadable header", headers("Retry-After", "soon"), message("try again in 7s"), 7 * time.Second},
		{"gemini", nil, geminiMinute, 34 * time.Second},
		{"openai", nil, message("Please try again in 7.66s. Visit https://x"), 7660 * time.Millisecond},
		{"openai minutes", nil, message("Please try again in 1m2.5s."), 62500 * time.Millisecond},
		{"openai ms", nil, message("Please try again in 120ms."), 120 * time.Millisecond},
		{"azure", nil, message("Please retry after 20 seconds."), 20 * time.Second},
		{"words", nil, message("wait for 2 minutes and 3 seconds"), 123 * time.Second},
		{"gemini text", nil, message("Please retry in 34.074824224s."), 34074824224},
		{"hours", nil, message("try again in 2h30m"), 150 * time.Minute},
		{"days", nil, message("try again in 3 days"), 24 * time.Hour},
		{"reset", headers("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "6m0s",
			"x-ratelimit-remaining-requests", "5", "x-ratelimit-reset-requests", "1h"), "", 6 * time.Minute},
		{"zero before reset", headers("retry-after", "0", "x-ratelimit-remaining-tokens", "0",
			"x-ratelimit-reset-tokens", "6m0s"), "", 0},
	} {
		r := policy.Reply{Status: 429, Header: c.header, Body: []byte(c.body)}
		if got := policy.RetryAfter(r, noon()); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	r := policy.Reply{Status: 503, Header: headers("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "6m0s")}
	if got := policy.RetryAfter(r, noon()); got != 0 {
		t.Errorf("a limit's reset on a 503: %v", got)
	}
}

func TestRetryAfterLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.IntRange(0, 24*3600).Draw(t, "seconds")
		ms := rapid.IntRange(0, 24*3600*1000).Draw(t, "ms")
		want := time.Duration(s) * time.Second
		wait := func(pairs ...string) time.Duration {
			return policy.RetryAfter(policy.Reply{Status: 429, Header: headers(pairs...)}, noon())
		}
		if got := wait("Retry-After", strconv.Itoa(s)); got != want {
			t.Fatalf("seconds: %v, want %v", got, want)
		}
		if got := wait("Retry-After", noon().Add(want).Format(http.TimeFormat)); got != want {
			t.Fatalf("date: %v, want %v", got, want)
		}
		both := wait("Retry-After", strconv.Itoa(s), "Retry-After-Ms", strconv.Itoa(ms))
		if later := max(want, time.Duration(ms)*time.Millisecond); both != later {
			t.Fatalf("both: %v, want the later, %v", both, later)
		}
		any1, any2 := rapid.String().Draw(t, "any"), rapid.Float64().Draw(t, "float")
		for _, v := range []string{any1, strconv.FormatFloat(any2, 'g', -1, 64)} {
			if got := wait("Retry-After", v); got < 0 || got > 24*time.Hour {
				t.Fatalf("%q: %v", v, got)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"1", "-1", "7.66", "NaN", "1e999", "Thu, 20 Nov 2025 12:00:00 GMT", "6m0s", "2025-11-20T12:00:00Z", "1763640000000"} {
		f.Add(s, s, s, "try again in "+s)
	}
	f.Fuzz(func(t *testing.T, after, ms, reset, message string) {
		h := textproto.MIMEHeader{
			"Retry-After": {after}, "Retry-After-Ms": {ms}, "Date": {reset},
			"X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {reset},
			"Anthropic-Ratelimit-Requests-Limit": {after}, "Anthropic-Ratelimit-Requests-Remaining": {ms},
		}
		for _, body := range []string{"", message} {
			r := policy.Reply{Status: 429, Header: h, Body: []byte(body)}
			if d := policy.RetryAfter(r, noon()); d < 0 || d > 24*time.Hour {
				t.Fatalf("wait %v", d)
			}
		}
		l := policy.ParseLimits(h, noon())
		for _, one := range []policy.Limit{l.Requests, l.Tokens, l.Input, l.Output} {
			if one.Reset < 0 || one.Reset > 24*time.Hour || one.Max.N < 0 || one.Remaining.N < 0 {
				t.Fatalf("limit %+v", one)
			}
		}
	})
}
