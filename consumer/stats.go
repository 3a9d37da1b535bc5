package consumer

import (
	"maps"
	"sync"
	"sync/atomic"

	"nightshift/policy"
)

// stats counts what this process did since it started; for display only. What a batch came
// to is told by the streams.
type stats struct {
	calls, answered, later, doubled atomic.Int64
	inTokens, outTokens             atomic.Int64
	cut, withheld, fallback         atomic.Int64
	money                           money
	mu                              sync.Mutex
	dead                            map[policy.Class]int64
}

// Stats is a snapshot of what this worker did since it started.
type Stats struct {
	// Calls were started, Answered stored, Later handed back to wait, Doubled answered
	// although another worker's ending was first.
	Calls, Answered, Later, Doubled int64
	InputTokens, OutputTokens       int64
	// Among the answers, Cut reached the limit of their length, Withheld were cut by a content
	// policy or refused by the model, Fallback came from another provider than the queue's own.
	Cut, Withheld, Fallback int64
	// LeasesLost counts the jobs that another worker may have got while they were in hand here.
	LeasesLost int64
	// Money is what the calls cost.
	Money Money
	// Dead counts the dead letters by class.
	Dead map[policy.Class]int64
	// Pauses keep jobs of this worker's queues where they are.
	Pauses []Pause
	// Providers tells what stands between the queue and each provider.
	Providers map[string]policy.State
}

// died counts a dead letter once, by the worker whose marker is its ending.
func (s *stats) died(class policy.Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead == nil {
		s.dead = map[policy.Class]int64{}
	}
	s.dead[class]++
}

func (s *stats) tokens(in, out int) {
	s.inTokens.Add(int64(in))
	s.outTokens.Add(int64(out))
}

// ended counts an answer that is not whole.
func (s *stats) ended(e policy.Ending) {
	switch e {
	case policy.Cut:
		s.cut.Add(1)
	case policy.Withheld:
		s.withheld.Add(1)
	case policy.Whole:
	}
}

// Stats tells what this worker did so far.
func (c *Consumer) Stats() Stats {
	s := Stats{
		Calls: c.stats.calls.Load(), Answered: c.stats.answered.Load(), Later: c.stats.later.Load(),
		Doubled: c.stats.doubled.Load(), InputTokens: c.stats.inTokens.Load(), OutputTokens: c.stats.outTokens.Load(),
		Cut: c.stats.cut.Load(), Withheld: c.stats.withheld.Load(), Fallback: c.stats.fallback.Load(),
		Money: c.stats.money.load(), LeasesLost: c.leases.given(),
		Pauses: c.stopping(), Dead: map[policy.Class]int64{}, Providers: map[string]policy.State{},
	}
	c.stats.mu.Lock()
	maps.Copy(s.Dead, c.stats.dead)
	c.stats.mu.Unlock()
	for name, g := range c.guards {
		s.Providers[name] = g.State()
	}
	return s
}
