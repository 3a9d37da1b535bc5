package consumer

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// unstored counts the endings that wait for a broker that cannot store them. Pulling stops when a
// queue has no room for more of them.
type unstored struct {
	mu   sync.Mutex
	n    int
	told time.Time
}

// wait notes one, and says so from time to time. The function it returns is for its end.
func (u *unstored) wait(log zerolog.Logger, err error) (over func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
	if time.Since(u.told) > unstoredEvery {
		u.told = time.Now()
		log.Warn().Err(err).Int("waiting", u.n).
			Msg("the broker does not store what has ended: answers wait in memory until it does")
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.n--
	}
}

// unstoredEvery is how often it is said at most.
const unstoredEvery = time.Minute
