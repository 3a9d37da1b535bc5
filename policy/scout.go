package policy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// scout lets a guard's first call go alone: its reply shows the limits that the others would run
// into. They wait for it, but not for long, as its answer may be: then they go one by one, so that
// the first refusal, which comes quickly, still reaches most of them.
type scout struct {
	home atomic.Bool
	mu   sync.Mutex
	next time.Time     // when the next call goes that has not heard
	met  chan struct{} // closed when a reply has come
}

// scoutTime is how long the others wait at most, scoutGap how far they follow each other then.
const (
	scoutTime = time.Second
	scoutGap  = 100 * time.Millisecond
)

func (s *scout) wait(ctx context.Context) {
	if s.home.Load() {
		return
	}
	s.mu.Lock()
	if s.met == nil { // this is the scout
		s.met, s.next = make(chan struct{}), time.Now().Add(scoutTime)
		s.mu.Unlock()
		return
	}
	if now := time.Now(); s.next.Before(now) {
		s.next = now
	}
	met, rest := s.met, time.Until(s.next)
	s.next = s.next.Add(scoutGap)
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
