package policy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

func TestRecall(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		learned policy.Learned
		want    int
	}{
		"fresh":           {policy.Learned{At: now, Window: 90, Latency: time.Second}, 90},
		"below the start": {policy.Learned{At: now, Window: 3, Latency: time.Second}, 3},
		"above the limit": {policy.Learned{At: now, Window: 1000, Latency: time.Second}, 200},
		"stale":           {policy.Learned{At: now.Add(-25 * time.Hour), Window: 90, Latency: time.Second}, 45},
		"stale and small": {policy.Learned{At: now.Add(-25 * time.Hour), Window: 10, Latency: time.Second}, 16},
		"of the future":   {policy.Learned{At: now.Add(time.Hour), Window: 90, Latency: time.Second}, 16},
		"empty":           {policy.Learned{}, 16},
		"negative":        {policy.Learned{At: now, Window: -5, Latency: time.Second}, 16},
		"no latency":      {policy.Learned{At: now, Window: 90}, 16},
		"no rate":         {policy.Learned{At: now, Window: 90, Latency: time.Second, Requests: -1}, 16},
	} {
		g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 200})
		g.Recall(c.learned)
		if got := g.State().Window; got != c.want {
			t.Errorf("%s: window %d, want %d", name, got, c.want)
		}
		if _, ok := g.Learned(); ok {
			t.Errorf("%s: it has learned that itself", name)
		}
	}
}

// What was learned alone is parted among the workers there are now, and comes too late after an
// answer.
func TestRecallOfAPart(t *testing.T) {
	t.Parallel()
	l := policy.Learned{At: time.Now(), Window: 90, Latency: time.Second}
	g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 200})
	g.Share(0, 3)
	g.Recall(l)
	if got := g.State().Window; got != 30 {
		t.Errorf("window %d", got)
	}
	late := policy.NewGuard(policy.GuardConfig{MaxInFlight: 200})
	do(t, late, "job", 1, answer())
	late.Recall(l)
	if got := late.State().Window; got > 17 {
		t.Errorf("window %d", got)
	}
}

// A rate that refusals taught is begun with, and rises with its age.
func TestRecallOfARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := policy.Learned{At: time.Now(), Window: 9, Latency: time.Second, Requests: 2, Lowered: time.Now()}
		g := policy.NewGuard(policy.GuardConfig{})
		g.Recall(l)
		if r := g.State().Requests; r.From != "learned" || r.PerMinute < 119 || r.PerMinute > 121 {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Hour)
		old := policy.NewGuard(policy.GuardConfig{})
		old.Recall(l)
		if r := old.State().Requests; r.PerMinute < 1000 {
			t.Errorf("%+v", r)
		}
	})
}

// What an answer taught is told, and a refusal's measure with it.
func TestLearned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Start: 20})
		g.Share(0, 2)
		if l, ok := g.Learned(); ok {
			t.Errorf("learned %+v from nothing", l)
		}
		<-slow(t, g, 2*time.Second, answer())
		if l, ok := g.Learned(); !ok || l.Window < 40 || l.Latency != 2*time.Second {
			t.Errorf("%+v, %v", l, ok)
		}
		do(t, g, "limited", 1, status(429))
		if l, _ := g.Learned(); l.Requests == 0 || l.Lowered.IsZero() {
			t.Errorf("%+v", l)
		}
	})
}
