package policy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// scout lets a guard's first call go alone: its reply shows the limits that the others would run
// into. They wait for it, but not for long, as its answer may be.
type scout struct {
	home atomic.Bool
	mu   sync.Mutex
	sent time.Time
	met  chan struct{} // closed when a reply has come
}

// scoutTime is how long the others wait at most.
const scoutTime = time.Second

func (s *scout) wait(ctx context.Context) {
	if s.home.Load() {
		return
	}
	s.mu.Lock()
	if s.met == nil { // this is the scout
		s.met, s.sent = make(chan struct{}), time.Now()
		s.mu.Unlock()
		return
	}
	met, rest := s.met, scoutTime-time.Since(s.sent)
	s.mu.Unlock()
	if rest > 0 {
		_ = sleep(ctx, rest, met, nil) // the caller looks at ctx itself
	}
}

// back says that a reply has come.
func (s *scout) back() {
	if s.home.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.met == nil {
		s.met = make(chan struct{})
	}
	close(s.met)
}
