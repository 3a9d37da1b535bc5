package consumer

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// unstored counts the endings that wait for a broker that cannot store them. Pulling stops when a
// queue has no room for more of them.
type unstored struct {
	log zerolog.Logger
	n   atomic.Int64
}

// wait notes one and says so. The function it returns is for its end.
func (u *unstored) wait(err error) (over func()) {
	u.log.Warn().Err(err).Int64("waiting", u.n.Add(1)).
		Msg("the broker does not store what has ended: answers wait in memory until it does")
	return func() { u.n.Add(-1) }
}

// rarely is a log for what may happen to thousands of jobs at once, or every second: one line a
// minute.
func rarely(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
}
