package policy_test

import (
	"strconv"
	"testing"

	"nightshift/policy"
)

func fault(c policy.Class) *policy.Fault { return &policy.Fault{Class: c} }

// judge fails n different jobs alike and returns what was said of the last of them.
func judge(h *policy.Health, n int, c policy.Class) (e policy.Evidence, hold bool) {
	for i := range n {
		e, hold = h.Judge(strconv.Itoa(i), fault(c))
	}
	return e, hold
}

func TestHealthByClass(t *testing.T) {
	t.Parallel()
	for _, c := range policy.Classes() {
		want, wantHold := policy.OfJob, false
		switch v := c.Verdict(); {
		case c.Ambiguous(), v == policy.VerdictLater, v == policy.VerdictRetry:
			want = policy.Unclear
		case v == policy.VerdictHold:
			want, wantHold = policy.OfAccount, true
		}
		if e, hold := policy.NewHealth(policy.HealthConfig{}).Judge("a", fault(c)); e != want || hold != wantHold {
			t.Errorf("%s: evidence %d, hold %v", c, e, hold)
		}
	}
}

func TestHealthAmbiguous(t *testing.T) {
	t.Parallel()
	for _, c := range []policy.Class{policy.NotFound, policy.Permission} {
		h := policy.NewHealth(policy.HealthConfig{})
		if e, hold := judge(h, 2, c); e != policy.Unclear || hold {
			t.Errorf("%s: two jobs: %d, %v", c, e, hold)
		}
		if e, hold := h.Judge("1", fault(c)); e != policy.Unclear || hold {
			t.Errorf("%s: one of them again: %d, %v", c, e, hold)
		}
		if e, hold := h.Judge("2", fault(c)); e != policy.OfAccount || !hold {
			t.Errorf("%s: a third: %d, %v", c, e, hold)
		}
		h.Answer()
		if e, hold := h.Judge("3", fault(c)); e != policy.OfJob || hold {
			t.Errorf("%s: others succeed: %d, %v", c, e, hold)
		}
		h.Reset()
		if e, hold := h.Judge("4", fault(c)); e != policy.Unclear || hold {
			t.Errorf("%s: after a release nothing is known: %d, %v", c, e, hold)
		}
	}
}

// Different faults are not alike.
func TestHealthAlikeByClass(t *testing.T) {
	t.Parallel()
	h := policy.NewHealth(policy.HealthConfig{})
	judge(h, 2, policy.NotFound)
	if e, hold := judge(h, 2, policy.Permission); e != policy.Unclear || hold {
		t.Errorf("%d, %v", e, hold)
	}
}

// A job alone in its queue waits for others in vain: it ends in a hold, which somebody sees.
func TestHealthLoneJob(t *testing.T) {
	t.Parallel()
	h := policy.NewHealth(policy.HealthConfig{Alike: 2})
	for n := 1; n <= 6; n++ {
		e, hold := h.Judge("lone", fault(policy.NotFound))
		if want := n == 6; hold != want || (e == policy.OfAccount) != want {
			t.Errorf("failure %d: %d, %v", n, e, hold)
		}
	}
}

func TestHealthFlood(t *testing.T) {
	t.Parallel()
	h := policy.NewHealth(policy.HealthConfig{Flood: 10})
	if e, hold := judge(h, 9, policy.BadRequest); e != policy.OfJob || hold {
		t.Errorf("nine: %d, %v", e, hold)
	}
	h.Answer()
	if e, hold := judge(h, 9, policy.BadRequest); e != policy.OfJob || hold {
		t.Errorf("nine after an answer: %d, %v", e, hold)
	}
	if _, hold := h.Judge("x", fault(policy.TooLarge)); hold {
		t.Error("another class begins anew")
	}
	if e, hold := judge(h, 10, policy.BadRequest); e != policy.OfAccount || !hold {
		t.Errorf("ten: %d, %v", e, hold)
	}
	h.Answer()
	if e, hold := judge(h, 10, policy.NotFound); e != policy.OfAccount || !hold {
		t.Errorf("ten of an ambiguous class, although others succeeded: %d, %v", e, hold)
	}
}

func TestHealthRow(t *testing.T) {
	t.Parallel()
	h := policy.NewHealth(policy.HealthConfig{Row: 10})
	judge(h, 9, policy.ServerError)
	judge(h, 100, policy.RateLimited) // no failure of anybody
	judge(h, 100, policy.Overloaded)
	if e, hold := h.Judge("x", fault(policy.Timeout)); e != policy.OfAccount || !hold {
		t.Errorf("ten of any kind: %d, %v", e, hold)
	}
	h.Reset()
	if e, hold := judge(h, 9, policy.ServerError); e != policy.Unclear || hold {
		t.Errorf("after a release: %d, %v", e, hold)
	}
	h.Answer()
	if e, hold := judge(h, 9, policy.ServerError); e != policy.Unclear || hold {
		t.Errorf("after an answer: %d, %v", e, hold)
	}
}
