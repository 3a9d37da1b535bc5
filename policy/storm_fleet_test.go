package policy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"nightshift/consumer/provider/sim"
	"nightshift/policy"
)

// All workers together keep to one limit, whether its headers show it or only its refusals do. Of
// a provider that allows a second's worth at once, most prompts of the token rows need all.
func TestStormOfRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		sim           sim.Config
		jobs, workers int
		used, refused float64
	}{
		{"requests", sim.Config{RPM: 600}, 3000, 1, .97, .01},
		{"requests, four workers", sim.Config{RPM: 600}, 3000, 4, .95, .01},
		{"requests one by one, four workers", sim.Config{RPM: 60}, 600, 4, .88, .02},
		{"tokens, four workers", sim.Config{TPM: 200_000}, 640, 4, .90, .03},
		{"tokens, six seconds at once, four workers", sim.Config{TPM: 200_000, BurstTokens: 20_000}, 640, 4, .95, .03},
		{"both", sim.Config{TPM: 200_000, RPM: 500}, 640, 1, .90, .01},
		{"both, four workers", sim.Config{TPM: 200_000, RPM: 500}, 640, 4, .90, .03},
		{"bare", sim.Config{RPM: 600, HeadersOff: true}, 3000, 1, .95, .03},
		{"bare, four workers", sim.Config{RPM: 600, HeadersOff: true}, 3000, 4, .88, .06},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := worst{used: 1}
			for seed := range seeds(t) {
				synctest.Test(t, func(t *testing.T) {
					c := c
					c.sim.Latency, c.sim.Sigma, c.sim.Seed = 400*time.Millisecond, .5, seed
					s := newFleetRush(c.sim, c.jobs, c.workers, promptsFor(c.sim)).run(t, time.Hour)
					w.add(usedOf(c.sim, s), s)
					if s.Early > 0 || s.Answered < c.jobs {
						t.Errorf("seed %d: %d early, %d answered", seed, s.Early, s.Answered)
					}
				})
			}
			w.want(t, c.used, c.refused)
		})
	}
}

func promptsFor(c sim.Config) func(int) []byte {
	if c.TPM > 0 {
		return prompts(c.Seed, 50, 8000)
	}
	return prompts(c.Seed, 50, 51)
}

// usedOf is the used share of the limit that was nearer.
func usedOf(c sim.Config, s sim.Stats) float64 {
	used := 0.0
	for limit, n := range map[int]int{c.RPM: s.Answered, c.TPM: s.AnsweredTokens} {
		if limit > 0 {
			used = max(used, float64(n)/float64(limit)/s.Seconds*60)
		}
	}
	return used
}

// Workers that come and go leave the fleet at the limit.
func TestStormOfWorkersThatComeAndGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]sim.Config{"requests": {RPM: 600}, "tokens": {TPM: 200_000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := worst{used: 1}
			for seed := range seeds(t) {
				synctest.Test(t, func(t *testing.T) {
					c := c
					c.Latency, c.Sigma, c.Seed = 400*time.Millisecond, .5, seed
					jobs := 3000
					if c.TPM > 0 {
						jobs = 640
					}
					r := newFleetRush(c, jobs, 4, promptsFor(c))
					for i, n := range []int{2, 3, 1, 4} {
						time.AfterFunc(time.Duration(i+1)*50*time.Second, func() { r.share(n) })
					}
					s := r.run(t, time.Hour)
					w.add(usedOf(c, s), s)
				})
			}
			w.want(t, .88, .03)
		})
	}
}

// A probe does not wait for the worker's turn: nobody else calls while the provider is held.
func TestProbeNeedsNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(sim.Config{RPM: 60})
		ask := (&rush{provider: h}).ask
		for rank := range 4 {
			g := policy.NewGuard(policy.GuardConfig{})
			g.Share(rank, 4)
			do(t, g, "shows the limit", 1, ask(policy.Task{Call: policy.Call{Body: prompts(0, 50, 51)(0)}}))
			time.Sleep(2 * time.Minute)
			g.SetHold(&policy.Hold{})
			if !g.ProbeSlot() {
				t.Fatal("no slot")
			}
			if r := g.Do(t.Context(), "probe", 1, (&script{}).ask); r.Calls != 1 {
				t.Errorf("worker %d: %+v", rank, r.Fault)
			}
		}
	})
}

// Every job is refused: the job that makes the count full is kept, and so are those in flight by
// then, no more than the window it began with.
func TestFloodStopsAtTheCount(t *testing.T) {
	t.Parallel()
	const flood, window = 50, 16 // the defaults
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			c := sim.Config{Bad: 1, Latency: 400 * time.Millisecond, Sigma: .5, Seed: seed}
			r := newRush(c, 5000, promptsFor(c))
			s := r.run(t, time.Minute)
			if dead := r.dead.Load(); dead != flood-1 || s.Calls < flood || s.Calls > flood+window {
				t.Errorf("seed %d: %d dead of %d calls", seed, dead, s.Calls)
			}
		})
	}
}
