package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

func TestJitterIsUpwards(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-1e9, 1e16).Draw(t, "wait"))
		got := policy.Jitter(d)
		if got < d || got > d+5*time.Second || d > 0 && got > d+d/10+1 {
			t.Fatalf("%v became %v", d, got)
		}
	})
}

// Whatever a gate is told, in whatever order: it opens no earlier than any asked for, and not
// earlier than it would have.
func TestGateNeverOpensEarly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g policy.Gate
		now := time.Unix(1e9, 0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "pass")))
			before := g.Opens()
			ask := time.Duration(rapid.Int64Range(-1e9, 1e11).Draw(t, "ask"))
			sent := now.Add(-time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "latency")))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				g.Shut(now.Add(ask))
			case 1:
				g.Answered(sent)
			default:
				until, moved := g.Strike(ask, sent, now)
				if until != g.Opens() || moved != (until != before) {
					t.Fatalf("told %v, %v; opens %v, before %v", until, moved, g.Opens(), before)
				}
				if ask <= 0 && before.Before(now) && !sent.Before(before) {
					ask = time.Second // a bare refusal shuts it for a second at least
				}
			}
			if g.Opens().Before(before) {
				t.Fatalf("moved inwards from %v to %v", before, g.Opens())
			}
			if ask > 0 && g.Opens().Before(now.Add(ask)) && !g.Opens().Equal(before) {
				t.Fatalf("opens %v, asked for %v", g.Opens(), now.Add(ask))
			}
		}
	})
}

func TestGateObeysRetryAfter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g policy.Gate
		now := time.Unix(1e9, 0)
		for range rapid.IntRange(1, 20).Draw(t, "strikes") {
			ask := time.Duration(rapid.Int64Range(1, 1e14).Draw(t, "retry after"))
			g.Strike(ask, now, now)
			if g.Opens().Before(now.Add(ask)) {
				t.Fatalf("asked for %v, opens after %v", ask, g.Opens().Sub(now))
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "pass")))
		}
	})
}

func TestGateBacksOff(t *testing.T) {
	t.Parallel()
	var g policy.Gate
	now := time.Unix(1e9, 0)
	strike := func(seconds int) {
		t.Helper()
		want := time.Duration(seconds) * time.Second
		until, moved := g.Strike(0, now, now)
		if wait := until.Sub(now); !moved || wait < want || wait > want+want/10 {
			t.Errorf("shut for %v, want %v", wait, want)
		}
		// The rest of the burst: refused while it is shut, or late, but sent before it opened.
		for _, at := range []time.Time{now, now.Add(want / 2), until.Add(time.Minute)} {
			if again, moved := g.Strike(0, now, at); moved || again != until {
				t.Errorf("one burst struck twice: %v", again.Sub(now))
			}
		}
		g.Answered(now) // a call of the burst that got through
		now = until.Add(2 * time.Minute)
	}
	for _, want := range []int{1, 2, 4, 8, 16, 32, 32, 32} {
		strike(want)
	}
	g.Answered(now)
	strike(1)
}
