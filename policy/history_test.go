package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		noted        uint64 // deliveries at the latest outcome; 0 for none yet
		notedResets  int
		deliveries   uint64
		resets, want int
	}{
		{"the first delivery", 0, 0, 1, 0, 0},
		{"two died", 0, 0, 3, 0, 2},
		{"an outcome, then the next delivery", 3, 0, 4, 0, 0},
		{"one died since the outcome", 3, 0, 5, 0, 1},
		{"in hand at a restart", 0, 0, 1, 1, 1},
		{"in hand at three restarts", 0, 0, 1, 3, 3},
		{"in hand at a restart, and one died since", 0, 0, 2, 1, 2},
		{"waiting at a restart", 5, 0, 1, 1, 0},
		{"waiting at a restart, and one died since", 5, 0, 2, 1, 1},
		{"waiting at a restart, in hand at the next", 5, 0, 1, 2, 1},
		{"an outcome since the restart", 1, 1, 2, 1, 0},
		{"the broker lost its count", 5, 0, 1, 0, 0},
		{"the broker lost its count, and one died since", 5, 0, 3, 0, 2},
	} {
		h := policy.History{}
		if c.noted > 0 {
			h.Note(c.noted, c.notedResets)
		}
		if got := h.Crashes(c.deliveries, c.resets); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// A model of the broker: a job is delivered, handed back with an outcome, or lost with its
// worker; a restart counts a reset if the job was delivered before, and starts the count anew.
// Whoever has outcomes only has no crashes, and nobody is charged with more than there were.
func TestCrashesNeverExceedTheDeaths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, deliveries, resets, deaths := policy.History{}, uint64(0), 0, 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if deliveries > 0 && rapid.IntRange(0, 2).Draw(t, "restart") == 0 {
				deliveries, resets = 0, resets+1
			}
			deliveries++
			if got := h.Crashes(deliveries, resets); got < 0 || got > deaths {
				t.Fatalf("%d crashes, %d deaths: delivery %d, resets %d, %+v", got, deaths, deliveries, resets, h)
			}
			if rapid.IntRange(0, 2).Draw(t, "dies") == 0 {
				deaths++
			} else {
				deaths = 0
				h.Note(deliveries, resets)
			}
		}
	})
}

// A job that kills whoever calls it is found out, whether its deaths end the process, and with it
// the broker, or only a worker; with an outcome before them, one death later.
func TestCrashesFindAKiller(t *testing.T) {
	t.Parallel()
	for _, noted := range []uint64{0, 1} {
		worker, process := policy.History{}, policy.History{}
		if noted > 0 {
			worker.Note(noted, 0)
			process.Note(noted, 0)
		}
		for deaths := range 10 {
			if got := worker.Crashes(noted+uint64(deaths)+1, 0); got != deaths {
				t.Errorf("noted %d: %d crashes of %d worker deaths", noted, got, deaths)
			}
			if got := process.Crashes(1, deaths); got < deaths-int(noted) {
				t.Errorf("noted %d: %d crashes of %d process deaths", noted, got, deaths)
			}
		}
	}
}

func TestHistoryAdd(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 11, 20, 12, 0, 0, 0, time.UTC)
	result := func(e policy.Evidence, classes ...policy.Class) policy.Result {
		r := policy.Result{Evidence: e, Calls: len(classes)}
		for _, c := range classes {
			r.Fault = &policy.Fault{Class: c}
			r.Attempts = append(r.Attempts, policy.NewAttempt(at, "p", 0, r.Fault))
		}
		return r
	}
	refused := policy.Result{Fault: &policy.Fault{Class: policy.RateLimited, Rule: "own pace"}}
	for _, c := range []struct {
		name            string
		r               policy.Result
		counts          bool
		calls, attempts int
		wait            policy.Class
	}{
		{"one attempt", result(policy.Unclear, policy.Timeout), true, 1, 1, ""},
		{"two in place", result(policy.Unclear, policy.Timeout, policy.Network), true, 2, 2, ""},
		{"a wait", result(policy.Unclear, policy.RateLimited), false, 1, 0, policy.RateLimited},
		{"an attempt, then a wait", result(policy.Unclear, policy.Timeout, policy.RateLimited), false, 2, 1, policy.RateLimited},
		{"an outage", result(policy.OfAccount, policy.Timeout, policy.Network), false, 2, 0, policy.Network},
		{"turned away by ourselves", refused, false, 0, 0, policy.RateLimited},
	} {
		var h policy.History
		h.Add(c.r, policy.Decision{Counts: c.counts}, at)
		wait, waits := policy.Class(""), 0
		if h.LastWait != nil {
			wait, waits = h.LastWait.Class, 1
		}
		if h.Calls != c.calls || len(h.Attempts) != c.attempts || wait != c.wait || h.Waits != waits {
			t.Errorf("%s: %+v, last wait %s", c.name, h, wait)
		}
	}
}
