package policy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// metered is a provider that counts units a minute, by continuous refill, with a burst of a
// second's worth. It refuses what it has nothing left for.
type metered struct {
	perMinute         float64
	unit              string // "Requests" or "Tokens", or "" for one that shows nothing
	mu                sync.Mutex
	left              float64
	at                time.Time
	accepted, refused int
	used              float64
}

func (p *metered) ask(n float64) policy.Reply {
	r := policy.Reply{Header: textproto.MIMEHeader{}}
	p.mu.Lock()
	burst, now := p.perMinute/60, time.Now()
	if p.at.IsZero() {
		p.left = burst
	}
	p.left = min(burst, p.left+now.Sub(p.at).Minutes()*p.perMinute)
	p.at = now
	if missing := min(n, burst) - p.left; missing > 1e-6 {
		p.refused++
		r.Status, r.Body = 429, []byte(`{"error":{"type":"requests","code":"rate_limit_exceeded"}}`)
		if p.unit != "" {
			r.Header.Set("Retry-After", strconv.Itoa(int(missing/burst)+1))
		}
	} else {
		p.left -= n
		p.used += n
		p.accepted++
		r.Status, r.Body = 200, fmt.Appendf(nil, `{"choices":[{}],"usage":{"prompt_tokens":%d}}`, int(n))
	}
	if p.unit != "" {
		r.Header.Set("X-Ratelimit-Limit-"+p.unit, strconv.Itoa(int(p.perMinute)))
		r.Header.Set("X-Ratelimit-Remaining-"+p.unit, strconv.Itoa(int(max(0, p.left))))
		r.Header.Set("X-Ratelimit-Reset-"+p.unit, time.Duration((burst-p.left)/burst*float64(time.Second)).String())
	}
	p.mu.Unlock()
	if r.Status == 200 {
		time.Sleep(time.Duration(200+rand.IntN(400)) * time.Millisecond)
	}
	return r
}

// drive keeps a guard busy until ctx ends. size draws how much a job needs.
func drive(ctx context.Context, g *policy.Guard, p *metered, size func() int) {
	var all sync.WaitGroup
	for ctx.Err() == nil {
		n, _ := g.Take(ctx, 512)
		time.Sleep(5 * time.Millisecond) // the fetch
		for range n {
			need := size()
			task := policy.Task{Key: "a", Allowed: 5, Call: policy.Call{Body: []byte(strings.Repeat("x", 4*need))}}
			all.Go(func() {
				g.DoTask(ctx, task, func(context.Context) policy.Reply {
					time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond) // the way there
					return p.ask(float64(need))
				})
			})
		}
	}
	all.Wait()
}

func TestPaceFollowsTheProvider(t *testing.T) {
	t.Parallel()
	one, many := func() int { return 1 }, func() int { return 50 + rand.IntN(8000) }
	for _, c := range []struct {
		name          string
		provider      *metered
		workers       int
		minutes       int // chance weighs more where there are few calls a minute
		size          func() int
		used, refused float64
	}{
		{"requests in headers", &metered{perMinute: 600, unit: "Requests"}, 1, 10, one, .97, .01},
		{"tokens in headers", &metered{perMinute: 200_000, unit: "Tokens"}, 1, 10, many, .93, .01},
		{"bare refusals", &metered{perMinute: 600}, 1, 10, one, .90, .05},
		{"few, bare", &metered{perMinute: 60}, 1, 60, one, .80, .08},
		{"four share, in headers", &metered{perMinute: 600, unit: "Requests"}, 4, 10, one, .85, .05},
		{"four share, bare", &metered{perMinute: 600}, 4, 10, one, .85, .10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := c.provider
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(c.minutes)*time.Minute)
				defer cancel()
				var all sync.WaitGroup
				for range c.workers {
					g := policy.NewGuard(policy.GuardConfig{MaxInFlight: 512})
					all.Go(func() { drive(ctx, g, p, c.size) })
				}
				all.Wait()
				used := p.used / p.perMinute / float64(c.minutes)
				refused := float64(p.refused) / float64(p.refused+p.accepted)
				t.Logf("used %.1f %%, refused %.2f %%", 100*used, 100*refused)
				if used < c.used || refused > c.refused {
					t.Errorf("want used >= %.0f %%, refused <= %.1f %%", 100*c.used, 100*c.refused)
				}
			})
		})
	}
}
