package sim

import (
	"sync"
	"sync/atomic"
	"time"
)

// told remembers the Retry-Afters sent, to anybody, and finds the calls that come too
// early. They bind all clients: the limit is the account's, and one gate shared by all
// workers is what a polite fleet has. Without the grace is only the job that was told
// itself; see tally.
type told struct {
	// last is the latest time told, so that the usual call takes no lock.
	last atomic.Int64
	mu   sync.Mutex
	// live is ordered by at and by until, both rising: what is told later and ends sooner
	// adds nothing.
	live []promise
}

type promise struct{ at, until time.Duration }

func (t *told) tell(at, until time.Duration) {
	// Finer than any client obeys; it bounds what is kept under a storm of refusals.
	const grain = 10 * time.Millisecond
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.live) > 0 && until < t.live[len(t.live)-1].until+grain {
		return
	}
	t.live = append(t.live, promise{at, until})
	t.last.Store(int64(until))
}

// early says whether a call that arrives now comes before a time it can know of: what was
// told within the grace it cannot.
func (t *told) early(now, grace time.Duration) bool {
	if int64(now) >= t.last.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.live) > 0 && t.live[0].until <= now {
		t.live = t.live[1:]
	}
	return len(t.live) > 0 && t.live[0].at+grace < now
}
