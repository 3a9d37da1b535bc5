package policy

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// pace is how many calls may begin in a minute. A slot is promised a place in it before its
// job is pulled: a job that then had to wait for its turn would go back to the queue, and the
// next one would be pulled in its stead, in circles.
type pace struct {
	limiter *rate.Limiter // nil for no limit

	mu       sync.Mutex
	promised int
}

func newPace(perMinute int) *pace {
	if perMinute <= 0 {
		return &pace{}
	}
	perSecond := float64(perMinute) / 60
	return &pace{limiter: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// promise gives up to want places that are free now, or tells when the next one is.
func (p *pace) promise(want int) (got int, wait time.Duration) {
	if p.limiter == nil {
		return want, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.free()
	if free < 1 {
		missing := (1 - free) / float64(p.limiter.Limit())
		return 0, time.Duration(missing*float64(time.Second)) + time.Millisecond
	}
	got = min(want, int(free))
	p.promised += got
	return got, 0
}

// free is how many places are left after the promises.
func (p *pace) free() float64 {
	const rounding = 1e-6 // a place that is due has not always quite come
	return p.limiter.Tokens() - float64(p.promised) + rounding
}

// spent says that no call may begin now.
func (p *pace) spent() bool {
	if p.limiter == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free() < 1
}

// forget takes back n promises that no call will use.
func (p *pace) forget(n int) {
	if p.limiter == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.promised = max(p.promised-n, 0)
}

// place is one call's turn. The zero place has come.
type place struct{ r *rate.Reservation }

// take takes the next turn.
func (p *pace) take() place {
	if p.limiter == nil {
		return place{}
	}
	return place{p.limiter.Reserve()}
}

func (p place) wait() time.Duration {
	if p.r == nil {
		return 0
	}
	return p.r.Delay()
}

func (p place) giveUp() {
	if p.r != nil {
		p.r.Cancel()
	}
}
