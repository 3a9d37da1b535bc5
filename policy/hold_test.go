package policy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

func TestHoldStopsTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var holds []policy.Hold
		g := policy.NewGuard(policy.GuardConfig{Provider: "p", OnHold: func(h policy.Hold) { holds = append(holds, h) }})
		r := do(t, g, "a", 5, status(401))
		if r.Evidence != policy.OfAccount || len(holds) != 1 || g.State().Reason != "hold" {
			t.Fatalf("%+v, %+v", r, g.State())
		}
		h := holds[0]
		if h.Provider != "p" || h.Class != policy.Auth || h.Status != 401 || h.Owner == "" || h.Remedy == "" || time.Until(h.Probe) != time.Minute {
			t.Errorf("%+v", h)
		}
		if g.TryTake(1) != 0 {
			t.Error("a slot of a held provider")
		}
		if !g.ProbeSlot() {
			t.Fatal("no slot for the probe")
		}
		if r := g.Do(t.Context(), "probe", 5, (&script{replies: []policy.Reply{status(401)}}).ask); r.Calls != 1 || len(holds) != 1 {
			t.Errorf("the first probe came early, so it moves nothing: %+v", r)
		}
		time.AfterFunc(time.Hour, func() { g.SetHold(nil) })
		if d := took(t, g); d != time.Hour {
			t.Errorf("released after %v", d)
		}
		idle(t, g)
	})
}

func TestProbesComeLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{ProbeEvery: time.Minute})
		do(t, g, "a", 5, status(402))
		for _, want := range []int{2, 4, 8, 8} {
			time.Sleep(time.Until(g.State().Hold.Probe))
			g.ProbeSlot()
			g.Do(t.Context(), "probe", 5, (&script{replies: []policy.Reply{status(402)}}).ask)
			if d := time.Until(g.State().Hold.Probe); d != time.Duration(want)*time.Minute {
				t.Errorf("the next probe in %v, want %d minutes", d, want)
			}
		}
		g.SetHold(&policy.Hold{Class: policy.Auth}) // another worker's word counts
		if g.State().Hold.Class != policy.Auth {
			t.Errorf("%+v", g.State().Hold)
		}
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 2})
		if n, err := g.Take(t.Context(), 9); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if n, err := g.Take(ctx, 1); n != 0 || err == nil {
			t.Errorf("%d, %v", n, err)
		}
		time.AfterFunc(time.Minute, func() { g.Give(1) })
		if d := took(t, g); d != time.Minute {
			t.Errorf("free after %v", d)
		}
	})
}
