package policy_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/textproto"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// reserving is a provider that takes max_tokens for the answer's length until it is known. The
// prompt's tokens are not what its bytes say, and answers differ.
type reserving struct {
	perSecond, burst float64
	maxTokens        int
	// charge is what a call is counted as, refund whether what it did not use is given back.
	charge func(in, maxTokens float64) float64
	refund bool

	mu                      sync.Mutex
	dice                    *rand.Rand
	at                      time.Time
	left, used, calls, over float64
}

func (p *reserving) body() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := bytes.Repeat([]byte("x"), 4*int(50*math.Pow(160, p.dice.Float64())))
	return fmt.Appendf(nil, `{"max_tokens":%d,"messages":[{"role":"user","content":"%s"}]}`, p.maxTokens, text)
}

func (p *reserving) ask(body []byte) policy.Reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := float64(len(body)/4) * math.Exp(.1*p.dice.NormFloat64())
	out := min(100*math.Exp(.7*p.dice.NormFloat64()), float64(p.maxTokens))
	latency := time.Duration(.4 * math.Exp(.5*p.dice.NormFloat64()) * float64(time.Second))
	n := p.charge(in, float64(p.maxTokens))
	p.add(0)
	missing := min(n, p.burst) - p.left
	r := policy.Reply{Status: 200, Header: textproto.MIMEHeader{}}
	if p.calls++; missing > 1e-6 {
		p.over++
		r.Status, r.Body = 429, []byte(`{"error":{"type":"tokens","code":"rate_limit_exceeded"}}`)
		r.Header.Set("Retry-After", strconv.Itoa(int(missing/p.perSecond)+1))
	} else {
		p.add(-n)
		r.Body = fmt.Appendf(nil, `{"choices":[{}],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, int(in), int(out))
	}
	r.Header.Set("X-Ratelimit-Limit-Tokens", strconv.Itoa(int(60*p.perSecond)))
	r.Header.Set("X-Ratelimit-Remaining-Tokens", strconv.Itoa(int(max(0, p.left))))
	r.Header.Set("X-Ratelimit-Reset-Tokens", time.Duration((p.burst-p.left)/p.perSecond*float64(time.Second)).String())
	if r.Status == 200 {
		p.mu.Unlock()
		time.Sleep(latency)
		p.mu.Lock()
		if p.refund {
			p.add(n - in - out)
		}
	}
	return r
}

// add refills what is left and adds n.
func (p *reserving) add(n float64) {
	now := time.Now()
	if p.at.IsZero() {
		p.at, p.left = now, p.burst
	}
	p.left = min(p.burst, p.left+now.Sub(p.at).Seconds()*p.perSecond+n)
	p.at, p.used = now, p.used-n
}

// What providers count a call as differs, and no header says how. What is left of the limit does.
func TestPaceOfReservedTokens(t *testing.T) {
	t.Parallel()
	longer := func(in, most float64) float64 { return max(in, most) }
	both := func(in, most float64) float64 { return in + most }
	for _, c := range []struct {
		name          string
		burst         float64 // seconds
		charge        func(in, most float64) float64
		refund        bool
		used, refused float64
	}{
		{"the longer, a minute at once", 60, longer, false, .95, .01},
		{"the longer, ten seconds at once", 10, longer, false, .95, .015},
		{"both, given back", 60, both, true, .95, .01},
		{"both, given back, ten seconds at once", 10, both, true, .95, .01},
		{"both, given back, a second at once", 1, both, true, .75, .015},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const perSecond, minutes = 200_000. / 60, 10
				p := &reserving{
					perSecond: perSecond, burst: c.burst * perSecond, maxTokens: 500, charge: c.charge,
					refund: c.refund, dice: rand.New(rand.NewPCG(7, 7)),
				}
				ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute)
				defer cancel()
				p.keepBusy(ctx, policy.NewGuard(policy.GuardConfig{MaxInFlight: 512}))
				used, refused := p.used/perSecond/60/minutes, p.over/p.calls
				t.Logf("used %.1f %%, refused %.2f %%", 100*used, 100*refused)
				if used < c.used || refused > c.refused {
					t.Errorf("want used >= %.0f %%, refused <= %.1f %%", 100*c.used, 100*c.refused)
				}
			})
		})
	}
}

func (p *reserving) keepBusy(ctx context.Context, g *policy.Guard) {
	var all sync.WaitGroup
	for ctx.Err() == nil {
		n, _ := g.Take(ctx, 512)
		time.Sleep(time.Millisecond) // the fetch
		for range n {
			body := p.body()
			all.Go(func() {
				g.DoTask(ctx, policy.Task{Key: "a", Allowed: 5, Call: policy.Call{Body: body}},
					func(context.Context) policy.Reply { return p.ask(body) })
			})
		}
	}
	all.Wait()
}
