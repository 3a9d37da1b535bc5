package policy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// The time a gate is shut counts once, however often it is told to, and only as it passes.
func TestGateShutSum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{})
		g.Shut(time.Now().Add(10 * time.Second))
		time.Sleep(4 * time.Second)
		want := func(d time.Duration) {
			t.Helper()
			if got := g.State().Shut; got != d {
				t.Errorf("shut for %v, want %v", got, d)
			}
		}
		want(4 * time.Second)
		g.Shut(time.Now().Add(3 * time.Second)) // no longer than it is
		g.Shut(time.Now().Add(8 * time.Second))
		time.Sleep(time.Minute)
		want(12 * time.Second)
		g.Shut(time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		g.Open()
		time.Sleep(time.Minute)
		want(13 * time.Second)
	})
}
