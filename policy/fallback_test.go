package policy_test

import (
	"strings"
	"testing"
	"time"

	"nightshift/policy"
)

func TestFallbackServes(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 11, 20, 12, 0, 0, 0, time.UTC)
	fresh := policy.History{}
	refusedBefore := policy.History{LastWait: &policy.Attempt{Class: policy.Overloaded}}
	waiting := policy.History{Waiting: now.Add(-9 * time.Minute)}
	var usual policy.Fallback
	rate := policy.Fallback{On: []policy.Reason{policy.ForRate}, After: 2 * time.Minute}
	for _, c := range []struct {
		name  string
		f     policy.Fallback
		class policy.Class
		h     policy.History
		wait  time.Duration
		want  bool
	}{
		{"overflow by default", usual, policy.ContextOverflow, fresh, 0, true},
		{"too large is an overflow", usual, policy.TooLarge, fresh, 0, true},
		{"server error by default", usual, policy.ServerError, fresh, 0, true},
		{"timeout by default", usual, policy.Timeout, fresh, 0, true},
		{"network by default", usual, policy.Network, fresh, 0, true},
		{"one refusal for capacity", usual, policy.Overloaded, fresh, time.Hour, false},
		{"a second one", usual, policy.Overloaded, refusedBefore, 0, true},
		{"no rate limit by default", usual, policy.RateLimited, waiting, time.Hour, false},
		{"no filter by default", usual, policy.ContentFiltered, fresh, 0, false},
		{"filter when asked", policy.Fallback{On: []policy.Reason{policy.ForFilter}}, policy.ContentFiltered, fresh, 0, true},
		{"only what is asked", policy.Fallback{On: []policy.Reason{policy.ForFilter}}, policy.ServerError, fresh, 0, false},
		{"a short rate limit", rate, policy.RateLimited, fresh, 2*time.Minute - 1, false},
		{"a long rate limit", rate, policy.RateLimited, fresh, 2 * time.Minute, true},
		{"many short ones", rate, policy.RateLimited, waiting, time.Second, true},
		{"default time, short", policy.Fallback{On: []policy.Reason{policy.ForRate}}, policy.RateLimited, waiting, time.Minute - 1, false},
		{"default time, long", policy.Fallback{On: []policy.Reason{policy.ForRate}}, policy.RateLimited, waiting, time.Minute, true},
	} {
		if got := c.f.Serves(&policy.Fault{Class: c.class}, c.h, c.wait, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	told := &policy.Fault{Class: policy.RateLimited, RetryAfter: 2 * time.Minute}
	if !rate.Serves(told, fresh, 0, now) {
		t.Error("Retry-After is no wait")
	}
}

// Nothing that is of the account goes to a fallback: the provider is held, and mended.
func TestNoFallbackForAccounts(t *testing.T) {
	t.Parallel()
	all := policy.Fallback{On: policy.Reasons(), After: time.Nanosecond}
	served := map[policy.Class]bool{
		policy.ContextOverflow: true, policy.TooLarge: true, policy.ContentFiltered: true, policy.RateLimited: true,
		policy.Overloaded: true, policy.ServerError: true, policy.Timeout: true, policy.Network: true,
	}
	h := policy.History{LastWait: &policy.Attempt{Class: policy.Overloaded}}
	for _, class := range policy.Classes() {
		if got := all.Serves(&policy.Fault{Class: class}, h, time.Hour, time.Now()); got != served[class] {
			t.Errorf("%s: %v", class, got)
		}
	}
}

func TestFallbackValidate(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]policy.Fallback{
		"":                     {On: policy.Reasons(), After: time.Second},
		`"quota" is none of`:   {On: []policy.Reason{"quota"}},
		"after: -1s is negati": {After: -time.Second},
	} {
		err := f.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}

func TestDecisionOver(t *testing.T) {
	t.Parallel()
	later := func(c policy.Class, d time.Duration) policy.Decision {
		return policy.Decision{Outcome: policy.Later, Class: c, Delay: d}
	}
	dead := func(c policy.Class) policy.Decision {
		return policy.Decision{Outcome: policy.Dead, Class: c, Counts: true}
	}
	for _, c := range []struct {
		name      string
		main, alt policy.Decision
		outcome   policy.Outcome
		class     policy.Class
	}{
		{"both wait", later(policy.RateLimited, time.Minute), later(policy.Overloaded, time.Second), policy.Later, policy.RateLimited},
		{"it waits though the fallback refuses", later(policy.ServerError, 1), dead(policy.BadRequest), policy.Later, policy.ServerError},
		{"it waits though the fallback failed", later(policy.ServerError, 1), dead(policy.Timeout), policy.Later, policy.ServerError},
		{"attempts used up", dead(policy.ServerError), later(policy.RateLimited, 1), policy.Dead, policy.ServerError},
		{"time used up", dead(policy.Expired), later(policy.RateLimited, 1), policy.Dead, policy.Expired},
		{"too long, fallback busy", dead(policy.ContextOverflow), later(policy.Overloaded, 1), policy.Later, policy.Overloaded},
		{"too long, fallback held", dead(policy.ContextOverflow), later(policy.Auth, 1), policy.Later, policy.Auth},
		{"too long for both", dead(policy.ContextOverflow), dead(policy.ContextOverflow), policy.Dead, policy.ContextOverflow},
		{"too long, and bad", dead(policy.ContextOverflow), dead(policy.BadRequest), policy.Dead, policy.BadRequest},
		{"too long, fallback fails for ever", dead(policy.ContextOverflow), dead(policy.ServerError), policy.Dead, policy.ContextOverflow},
		{"too long, fallback too late", dead(policy.ContextOverflow), dead(policy.Expired), policy.Dead, policy.ContextOverflow},
		{"too long, no such model", dead(policy.ContextOverflow), dead(policy.NotFound), policy.Dead, policy.ContextOverflow},
		{"an answer not wanted", later(policy.ServerError, 1), dead(policy.Truncated), policy.Dead, policy.Truncated},
	} {
		d := c.main.Over(c.alt)
		if d.Outcome != c.outcome || d.Class != c.class || d.Counts != c.alt.Counts {
			t.Errorf("%s: %+v", c.name, d)
		}
		if c.main.Outcome == policy.Later && c.alt.Outcome == policy.Later && d.Delay != min(c.main.Delay, c.alt.Delay) {
			t.Errorf("%s: delay %v", c.name, d.Delay)
		}
		if d.Outcome == policy.Later && d.Delay == 0 || d.Outcome == policy.Dead && d.Delay != 0 {
			t.Errorf("%s: delay %v", c.name, d.Delay)
		}
	}
}

// A provider that was passed over for another is remembered, and its wait is no hand-back.
func TestHistoryPass(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := &policy.Fault{Class: policy.RateLimited}
	h := policy.History{Waits: 3}
	h.Pass(policy.Result{Fault: f, Calls: 1, Attempts: []policy.Attempt{policy.NewAttempt(now, "a", 0, f)}}, policy.Decision{}, now)
	if h.Waits != 3 || h.Calls != 1 || len(h.Attempts) != 0 || h.LastWait == nil || h.LastWait.Provider != "a" || h.Waiting.IsZero() {
		t.Errorf("%+v", h)
	}
	since := h.Waiting
	h.Add(policy.Result{Fault: f}, policy.Decision{}, now.Add(time.Hour))
	if h.Waits != 4 || !h.Waiting.Equal(since) {
		t.Errorf("%+v", h)
	}
	h.Refuse("a", policy.ContextOverflow)
	if h.Refused["a"] != policy.ContextOverflow {
		t.Errorf("%+v", h)
	}
}
