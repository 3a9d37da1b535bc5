package policy_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

// fate is what becomes of a job that fails for the second time, its limit being five.
type fate struct {
	outcome policy.Outcome
	counts  bool
	delay   time.Duration
}

func TestDecideEveryClass(t *testing.T) {
	t.Parallel()
	dead := fate{outcome: policy.Dead, counts: true}
	wait := func(d time.Duration) fate { return fate{outcome: policy.Later, delay: d} }
	attempt := func(d time.Duration) fate { return fate{outcome: policy.Later, counts: true, delay: d} }
	backoff := 4 * time.Second        // two waits lie behind it
	rows := map[policy.Class][3]fate{ // by evidence: unclear, of the job, of the account
		policy.Malformed:       {dead, dead, wait(policy.HeldWait)},
		policy.BadRequest:      {dead, dead, wait(policy.HeldWait)},
		policy.ContextOverflow: {dead, dead, wait(policy.HeldWait)},
		policy.TooLarge:        {dead, dead, wait(policy.HeldWait)},
		policy.ContentFiltered: {dead, dead, wait(policy.HeldWait)},
		policy.NotFound:        {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
		policy.Expired:         {dead, dead, wait(policy.HeldWait)},
		policy.CrashLoop:       {dead, dead, wait(policy.HeldWait)},
		policy.Truncated:       {dead, dead, wait(policy.HeldWait)},

		policy.RateLimited: {wait(backoff), wait(backoff), wait(backoff)},
		policy.Overloaded:  {wait(backoff), wait(backoff), wait(backoff)},

		policy.ServerError: {attempt(2 * time.Second), attempt(2 * time.Second), wait(backoff)},
		policy.Timeout:     {attempt(2 * time.Second), attempt(2 * time.Second), wait(backoff)},
		policy.Network:     {attempt(2 * time.Second), attempt(2 * time.Second), wait(backoff)},
		policy.BadReply:    {attempt(2 * time.Second), attempt(2 * time.Second), wait(backoff)},
		policy.Conflict:    {attempt(2 * time.Second), attempt(2 * time.Second), wait(backoff)},

		policy.Auth:       {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
		policy.Permission: {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
		policy.Billing:    {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
		policy.Quota:      {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
		policy.DailyQuota: {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
		policy.Config:     {wait(policy.UnclearWait), dead, wait(policy.HeldWait)},
	}
	h := policy.History{Attempts: make([]policy.Attempt, 1), Waits: 2}
	for _, class := range policy.Classes() {
		want, ok := rows[class]
		if !ok {
			t.Errorf("%s has no row", class)
		}
		for e := policy.Unclear; e <= policy.OfAccount; e++ {
			d := policy.Decide(&policy.Fault{Class: class}, h, 1, e, policy.Terms{Attempts: 5}, time.Now())
			if got := (fate{d.Outcome, d.Counts, d.Delay}); got != want[e] || d.Class != class {
				t.Errorf("%s, evidence %d: %+v as %s, want %+v", class, e, got, d.Class, want[e])
			}
		}
	}
}

func TestDecideAttempts(t *testing.T) {
	t.Parallel()
	f := &policy.Fault{Class: policy.ServerError}
	for _, c := range []struct {
		name          string
		before, tries int
		outcome       policy.Outcome
		counts        bool
		delay         time.Duration
	}{
		{"the first", 0, 1, policy.Later, true, time.Second},
		{"two in place", 0, 2, policy.Later, true, 2 * time.Second},
		{"the last but one", 3, 1, policy.Later, true, 8 * time.Second},
		{"the last", 4, 1, policy.Dead, true, 0},
		{"more than the last", 4, 2, policy.Dead, true, 0},
		{"a limit that was lowered", 9, 1, policy.Dead, true, 0},
		{"no call, so no attempt", 9, 0, policy.Later, false, time.Second},
	} {
		h := policy.History{Attempts: make([]policy.Attempt, c.before)}
		d := policy.Decide(f, h, c.tries, policy.Unclear, policy.Terms{Attempts: 5}, time.Now())
		if d.Outcome != c.outcome || d.Counts != c.counts || d.Delay != c.delay {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestDecideDeadline(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 11, 20, 12, 0, 0, 0, time.UTC)
	rate := &policy.Fault{Class: policy.RateLimited, RetryAfter: 10 * time.Second}
	for _, c := range []struct {
		name  string
		f     *policy.Fault
		left  time.Duration
		class policy.Class
		dead  bool
	}{
		{"it may come again in time", rate, 10 * time.Second, policy.RateLimited, false},
		{"it would come too late", rate, 10*time.Second - 1, policy.Expired, true},
		{"it is past", rate, -time.Hour, policy.Expired, true},
		{"a dead job dies of its fault", &policy.Fault{Class: policy.BadRequest}, -time.Hour, policy.BadRequest, true},
	} {
		d := policy.Decide(c.f, policy.History{}, 1, policy.Unclear, policy.Terms{Attempts: 5, Deadline: now.Add(c.left)}, now)
		if dead := d.Outcome == policy.Dead; dead != c.dead || d.Class != c.class || dead && d.Delay != 0 {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

// drawn is any input of Decide, also such as cannot be.
type drawn struct {
	f     *policy.Fault
	h     policy.History
	tries int
	e     policy.Evidence
	terms policy.Terms
	now   time.Time
}

func draw(t *rapid.T) drawn {
	x := drawn{now: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), 0)}
	class := rapid.SampledFrom(append(policy.Classes(), "none")).Draw(t, "class")
	x.f = &policy.Fault{Class: class, RetryAfter: time.Duration(rapid.Int64Range(-1e9, 1e14).Draw(t, "retry after"))}
	x.h = policy.History{
		Attempts: make([]policy.Attempt, rapid.IntRange(0, 20).Draw(t, "attempts")),
		Waits:    rapid.IntRange(0, 1<<40).Draw(t, "waits"),
	}
	x.tries = rapid.IntRange(0, 5).Draw(t, "tries")
	x.e = policy.Evidence(rapid.IntRange(0, 2).Draw(t, "evidence"))
	x.terms.Attempts = rapid.IntRange(0, 20).Draw(t, "limit")
	if rapid.Bool().Draw(t, "has deadline") {
		x.terms.Deadline = x.now.Add(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "left")))
	}
	return x
}

func TestDecideLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := draw(t)
		d := policy.Decide(x.f, x.h, x.tries, x.e, x.terms, x.now)
		if again := policy.Decide(x.f, x.h, x.tries, x.e, x.terms, x.now); again != d {
			t.Fatalf("not pure: %+v, then %+v", d, again)
		}
		if d.Outcome != policy.Later && d.Outcome != policy.Dead || d.Class != x.f.Class && d.Class != policy.Expired {
			t.Fatalf("not total: %+v", d)
		}
		v := x.f.Class.Verdict()
		free := v == policy.VerdictLater || v == policy.VerdictHold
		expired := d.Class == policy.Expired && x.f.Class != policy.Expired
		if free && d.Counts && x.e != policy.OfJob {
			t.Fatalf("a wait counts as an attempt: %+v", d)
		}
		if v == policy.VerdictLater && d.Counts {
			t.Fatalf("a lack of capacity counts as an attempt: %+v", d)
		}
		if free && d.Outcome == policy.Dead && x.e != policy.OfJob && !expired {
			t.Fatalf("dead without a fault of its own: %+v", d)
		}
		if d.Outcome == policy.Later && d.Delay < max(x.f.RetryAfter, time.Second) {
			t.Fatalf("called earlier than asked: %+v", d)
		}
		late := !x.terms.Deadline.IsZero() && x.now.Add(d.Delay).After(x.terms.Deadline)
		if d.Outcome == policy.Later && late {
			t.Fatalf("waits beyond its deadline: %+v", d)
		}
		if expired && x.terms.Deadline.IsZero() {
			t.Fatalf("expired without a deadline: %+v", d)
		}
	})
}

// A job whose calls fail for ever by transient faults of its own ends, and its attempts only
// grow, whatever waits come between.
func TestTransientFaultsEnd(t *testing.T) {
	t.Parallel()
	transient := slices.DeleteFunc(policy.Classes(), func(c policy.Class) bool { return c.Verdict() != policy.VerdictRetry })
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		h, calls := policy.History{}, 0
		for {
			r := policy.Result{Evidence: policy.Unclear}
			for range rapid.IntRange(1, 3).Draw(t, "tries") {
				f := &policy.Fault{Class: rapid.SampledFrom(transient).Draw(t, "class")}
				r.Fault, r.Calls = f, r.Calls+1
				r.Attempts = append(r.Attempts, policy.NewAttempt(time.Now(), "p", 0, f))
			}
			if rapid.IntRange(0, 3).Draw(t, "wait") == 0 {
				r.Fault = &policy.Fault{Class: policy.RateLimited}
				r.Attempts[len(r.Attempts)-1].Class = policy.RateLimited
			} else {
				calls += len(r.Attempts)
			}
			before := len(h.Attempts)
			d := policy.Decide(r.Fault, h, len(r.Attempts), r.Evidence, policy.Terms{Attempts: limit}, time.Now())
			h.Add(r, d, time.Now())
			if len(h.Attempts) < before || slices.ContainsFunc(h.Attempts, func(a policy.Attempt) bool { return a.Class == policy.RateLimited }) {
				t.Fatalf("attempts: %d, then %+v", before, h.Attempts)
			}
			if d.Outcome == policy.Dead {
				if len(h.Attempts) < limit {
					t.Fatalf("dead after %d of %d attempts", len(h.Attempts), limit)
				}
				return
			}
			if calls >= limit && d.Counts {
				t.Fatalf("%d attempts of %d and not dead", calls, limit)
			}
		}
	})
}
