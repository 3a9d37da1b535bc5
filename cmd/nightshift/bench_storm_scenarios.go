package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"nightshift/consumer/provider/sim"
	"nightshift/policy"
)

// stormCeiling is the configured limit of calls in flight, well beyond what the provider has.
const stormCeiling = 512

// storm is a scenario: a provider, jobs, and what must be reached.
type storm struct {
	name, title string
	sim         sim.Config
	jobs        int
	// line gives what a job's prompt says; nil is a short one.
	line    func(i int) string
	workers int
	timeout time.Duration
	probe   time.Duration
	// warm is when the figures begin, end when they end; without an end, when all jobs have.
	warm, end time.Duration
	over      func(*race) bool
	used      func(sim.Stats) float64
	want      goal
}

// goal is what nightshift must reach; fields that are zero are not asked for, but early calls,
// doubled calls and lost jobs must always be none.
type goal struct {
	used, refused, calls float64
	dead                 map[policy.Class]int
	held                 int // at most so many calls before the hold
}

// misses says what was not reached.
func (f figures) misses(s storm) error {
	var errs []error
	miss := func(missed bool, format string, args ...any) {
		if missed {
			errs = append(errs, fmt.Errorf(s.name+": "+format, args...))
		}
	}
	w := s.want
	miss(f.used < w.used, "used %s, want %s", percent(f.used), percent(w.used))
	miss(w.refused > 0 && f.refused() > w.refused, "refused %s, want %s", percent(f.refused()), percent(w.refused))
	miss(w.calls > 0 && f.callsPerJob() > w.calls, "%.3f calls a job, want %.3f", f.callsPerJob(), w.calls)
	miss(f.Early > 0, "%d calls too early", f.Early)
	miss(f.Doubled > 0, "%d doubled calls", f.Doubled)
	miss(s.end == 0 && s.over == nil && f.lost != 0, "%d jobs without an ending", f.lost)
	miss(w.held > 0 && (f.held == 0 || f.held > w.held), "held after %d calls, want %d", f.held, w.held)
	for class, n := range w.dead {
		miss(f.classes[class] != n, "%d dead of class %s, want %d", f.classes[class], class, n)
	}
	miss(f.dead != w.deaths(), "%d dead, want %d", f.dead, w.deaths())
	return errors.Join(errs...)
}

func (w goal) deaths() (n int) {
	for _, d := range w.dead {
		n += d
	}
	return n
}

func byCapacity(s sim.Stats) float64 { return s.Share() }

// byLimit is the share of a limit a minute. A burst at the start may bring it above one.
func byLimit(perMinute int, of func(sim.Stats) int) func(sim.Stats) float64 {
	perSecond := float64(perMinute) / 60
	return func(s sim.Stats) float64 { return float64(of(s)) / (perSecond * s.Seconds) }
}

func answers(s sim.Stats) int { return s.Answered }
func tokens(s sim.Stats) int  { return s.AnsweredTokens }

const (
	stormSeed    = 7
	stormLatency = 400 * time.Millisecond
	stormSigma   = .5
)

// stormScale is how the scenarios differ when they are scaled: the provider is so many times
// faster and the time so much shorter.
type stormScale struct {
	full     bool
	latency  time.Duration
	perMin   int           // requests a minute
	tokens   int           // tokens a minute
	limited  int           // jobs of the limited scenarios
	prompts  int           // jobs of the token scenario
	step     time.Duration // between changes of capacity
	outage   time.Duration
	fixed    time.Duration // when the quota is
	timeout  time.Duration // of a call
	ordinary int           // jobs of the other scenarios
}

func scale(full bool) stormScale {
	if full {
		return stormScale{
			full: true, latency: stormLatency, perMin: 600, tokens: 200_000, limited: 3000, prompts: 640,
			step: 20 * time.Second, outage: 10 * time.Minute, fixed: time.Minute, timeout: 10 * time.Second, ordinary: 5000,
		}
	}
	return stormScale{
		latency: stormLatency / 2, perMin: 3000, tokens: 2_000_000, limited: 400, prompts: 300,
		step: 6 * time.Second, outage: 4 * time.Second, fixed: 2 * time.Second, timeout: 2 * time.Second, ordinary: 800,
	}
}

func (c stormScale) provider() sim.Config {
	return sim.Config{Latency: c.latency, Sigma: stormSigma, Seed: stormSeed}
}

// enough is how many jobs keep a capacity busy for a time.
func (c stormScale) enough(capacity int, d time.Duration) int {
	return int(1.2 * float64(capacity) * d.Seconds() / c.latency.Seconds())
}

// storms are all scenarios.
func storms(full bool) []storm {
	c := scale(full)
	return append(append(c.capacities(), c.limits()...), c.faults()...)
}

func (c stormScale) capacities() []storm {
	s := storm{name: "capacity", title: "capacity 64", sim: c.provider(), used: byCapacity}
	s.sim.Capacity = 64
	s.warm, s.end = c.step/4, 2*c.step
	s.jobs, s.want = c.enough(64, s.end), goal{used: .97, refused: .015}
	four := s
	four.name, four.title, four.workers = "four", "capacity 64, four workers", 4
	four.want = goal{used: .95, refused: .04}
	steps := s
	steps.name, steps.title = "steps", "capacity 64, 16, 128, 64"
	steps.warm, steps.end, steps.want = 0, 4*c.step, goal{used: .90, refused: .05}
	steps.sim.Latency = c.step / 50 // as many round trips to a step, scaled or not
	steps.jobs = int(1.2 * 68 * steps.end.Seconds() / steps.sim.Latency.Seconds())
	steps.sim.Steps = []sim.Step{
		{Capacity: 16, At: c.step}, {Capacity: 128, At: 2 * c.step}, {Capacity: 64, At: 3 * c.step},
	}
	return []storm{s, four, steps}
}

func (c stormScale) limits() []storm {
	rpm := storm{name: "rpm", title: fmt.Sprintf("%d requests/min, headers", c.perMin), sim: c.provider(), jobs: c.limited}
	rpm.sim.RPM, rpm.used, rpm.want = c.perMin, byLimit(c.perMin, answers), goal{used: .97, refused: .01}
	tpm := storm{
		name: "tpm", title: fmt.Sprintf("%s tokens/min, headers", thousands(c.tokens)), sim: c.provider(), jobs: c.prompts,
	}
	tpm.sim.TPM, tpm.used, tpm.want = c.tokens, byLimit(c.tokens, tokens), goal{used: .93, refused: .01}
	tpm.line = promptOf(50, 8000)
	bare := rpm
	bare.name, bare.title = "bare", fmt.Sprintf("%d requests/min, bare 429", c.perMin)
	bare.sim.HeadersOff, bare.want = true, goal{used: .90, refused: .05}
	bare.jobs = max(c.limited, 2000) // to find the limit by refusals takes as long, scaled or not
	return []storm{rpm, tpm, bare}
}

// promptOf gives prompts of so many tokens, each length as likely as its half.
func promptOf(least, most int) func(int) string {
	words := make([]byte, 4*most)
	for i := range words {
		words[i] = "lorem ipsum dolor "[i%18]
	}
	return func(i int) string {
		dice := rand.New(rand.NewPCG(stormSeed, uint64(i))) //nolint:gosec // an index
		n := float64(least) * math.Pow(float64(most)/float64(least), dice.Float64())
		return string(words[:4*int(n)])
	}
}

func (c stormScale) faults() []storm {
	outage := storm{
		name: "outage", title: fmt.Sprintf("529 for %s, then open", c.outage), sim: c.provider(), used: byCapacity,
	}
	outage.sim.Capacity, outage.sim.Outage, outage.sim.OutageStatus = 64, sim.Window{To: c.outage}, 529
	outage.warm, outage.end = c.outage+5*time.Second, c.outage+10*time.Second
	outage.jobs, outage.want = c.enough(64, 12*time.Second), goal{used: .9}
	down := outage
	down.name, down.title, down.sim.OutageStatus = "down", fmt.Sprintf("503 for %s, then open", c.outage), 503
	quota := storm{name: "quota", title: "insufficient_quota, fixed later", sim: c.provider(), jobs: c.ordinary}
	quota.want = goal{held: 16 + 3}
	quota.sim.Fault, quota.sim.Until, quota.probe = "insufficient_quota", c.fixed, time.Second
	bad := storm{
		name: "bad", title: "one job in 100 bad, a model missing", sim: c.provider(), jobs: c.ordinary, line: badOnes,
	}
	bad.want = goal{dead: map[policy.Class]int{policy.BadRequest: c.ordinary / 100, policy.NotFound: 1}, calls: 1}
	flood := storm{
		name: "flood", title: "every job 400, held after 50", sim: c.provider(), jobs: c.ordinary, end: 3 * time.Second,
	}
	// The fiftieth in a row holds; it is kept, and so are the 16 that may be in flight by then.
	flood.sim.Bad, flood.want = 1, goal{dead: map[policy.Class]int{policy.BadRequest: 49}, held: 50 + 16}
	broken := storm{
		name: "broken", title: "5 % hangs, resets, half bodies, HTML", sim: c.provider(),
		jobs: max(c.ordinary, 3000),
	}
	broken.sim.Hangs, broken.sim.Resets, broken.sim.Half, broken.sim.HTML = .0125, .0125, .0125, .0125
	broken.timeout, broken.want = c.timeout, goal{calls: 1.06}
	return []storm{outage, down, quota, bad, flood, broken}
}

func badOnes(i int) string {
	switch {
	case i%100 == 50:
		return "[[sim:status=400,code=string_above_max_length]]"
	case i == 307:
		return "[[sim:model_not_found]]"
	}
	return ""
}
