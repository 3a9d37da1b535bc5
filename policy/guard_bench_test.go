package policy_test

import (
	"context"
	"testing"

	"nightshift/policy"
)

// What the policies cost a call that succeeds at once.
func BenchmarkGuardDo(b *testing.B) {
	g := policy.NewGuard(policy.GuardConfig{Classify: func(policy.Reply) *policy.Fault { return nil }})
	ask := func(context.Context) policy.Reply { return policy.Reply{Status: 200} }
	b.ReportAllocs()
	for b.Loop() {
		if g.TryTake(1) != 1 {
			b.Fatal("no slot")
		}
		if r := g.Do(b.Context(), "job", 5, ask); r.Fault != nil || r.Calls != 1 {
			b.Fatalf("%+v", r)
		}
	}
}
