package sim

import (
	"maps"
	"sync"
	"time"
)

// tallies are the accounts by job id, sharded so that calls do not queue for them.
type tallies [64]shard

type shard struct {
	mu   sync.Mutex
	jobs map[string]*tally
}

// tally is one job's account; the shard's lock guards it.
type tally struct {
	calls, admitted   int
	answered, doubled bool
	// until is the Retry-After this very job was told.
	until time.Duration
}

// arrival is what a call learns when it is counted.
type arrival struct {
	shard *shard
	job   *tally
	// nth is which call of the job this is, however the others ended.
	nth                   int
	fresh, doubled, early bool
}

func (t *tallies) arrive(id string, hash uint64, now time.Duration) arrival {
	s := &t[hash%uint64(len(t))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs == nil {
		s.jobs = map[string]*tally{}
	}
	job, known := s.jobs[id]
	if !known {
		job = &tally{}
		s.jobs[id] = job
	}
	a := arrival{shard: s, job: job, fresh: !known, early: now < job.until}
	a.doubled = job.answered && !job.doubled
	job.doubled = job.doubled || a.doubled
	job.calls++
	a.nth = job.calls
	return a
}

// admit counts the calls that got past the limits: scripts and draws go by them, so that
// what happens to a job does not depend on who filled the provider.
func (a *arrival) admit() int {
	a.shard.mu.Lock()
	defer a.shard.mu.Unlock()
	a.job.admitted++
	return a.job.admitted
}

func (a *arrival) answered() {
	a.shard.mu.Lock()
	defer a.shard.mu.Unlock()
	a.job.answered = true
}

func (a *arrival) told(until time.Duration) {
	a.shard.mu.Lock()
	defer a.shard.mu.Unlock()
	a.job.until = max(a.job.until, until)
}

// each calls f for every id, shard by shard; calls go on meanwhile.
func (t *tallies) each(f func(id string, calls int)) {
	for i := range t {
		for id, n := range t[i].counts() {
			f(id, n)
		}
	}
}

func (s *shard) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.jobs))
	for id, job := range s.jobs {
		out[id] = job.calls
	}
	return out
}

// Calls gives the number of calls by job id, counted as they arrived, whatever became of
// them. ResetStats leaves it alone.
func (h *Handler) Calls() map[string]int {
	out := map[string]int{}
	for i := range h.jobs {
		maps.Copy(out, h.jobs[i].counts())
	}
	return out
}
