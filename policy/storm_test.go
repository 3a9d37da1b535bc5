package policy_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/consumer/provider/sim"
	"nightshift/policy"
)

// Rows of bench storm in a time of their own: the provider is the simulated one, and what the
// machine is busy with does not count.

// rush is a fleet of guards that work off one queue, which gives back after its delay what was not
// answered.
type rush struct {
	provider *sim.Handler
	guards   []*policy.Guard
	seed     uint64
	body     func(i int) []byte
	jobs     int
	present  atomic.Int64 // how many of the guards work
	begun    atomic.Int64
	dead     atomic.Int64
	again    chan int
	ended    chan struct{}
}

func newRush(c sim.Config, jobs int, body func(int) []byte) *rush {
	return newFleetRush(c, jobs, 1, body)
}

// newFleetRush has so many workers, which share their limits and tell each other of gates.
func newFleetRush(c sim.Config, jobs, workers int, body func(int) []byte) *rush {
	r := &rush{
		provider: sim.New(c), seed: c.Seed, body: body, jobs: jobs,
		again: make(chan int, jobs), ended: make(chan struct{}, jobs),
	}
	for range workers {
		r.guards = append(r.guards, policy.NewGuard(policy.GuardConfig{MaxInFlight: 512, OnGate: r.tell}))
	}
	r.share(workers)
	return r
}

// share says that the first n guards are the workers there are.
func (r *rush) share(n int) {
	r.present.Store(int64(n))
	for i, g := range r.guards[:n] {
		g.Share(i, n)
	}
}

// tell brings a gate to all workers.
func (r *rush) tell(until time.Time) {
	time.AfterFunc(5*time.Millisecond, func() {
		for _, g := range r.guards {
			g.Shut(until)
		}
	})
}

// run works until all jobs have ended or the time is up, and tells what the provider saw.
func (r *rush) run(t *testing.T, limit time.Duration) sim.Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	for i := range r.guards {
		go r.pull(ctx, i)
	}
	for i := 0; i < r.jobs && ctx.Err() == nil; i++ {
		select {
		case <-r.ended:
		case <-ctx.Done():
		}
	}
	seen := r.provider.Stats()
	cancel()
	time.Sleep(time.Hour) // what is on its way comes home
	return seen
}

// pull is a worker's loop until ctx ends.
func (r *rush) pull(ctx context.Context, worker int) {
	g := r.guards[worker]
	dice := rand.New(rand.NewPCG(r.seed, uint64(worker)<<32))
	for ctx.Err() == nil {
		if int64(worker) >= r.present.Load() {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		n, _ := g.Take(ctx, 512)
		brief(dice, 2*time.Millisecond) // the fetch
		ids := r.fetch(n)
		g.Give(n - len(ids))
		for _, id := range ids {
			go r.work(ctx, g, id)
		}
		if len(ids) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func brief(dice *rand.Rand, most time.Duration) {
	time.Sleep(1 + time.Duration(dice.Int64N(int64(most))))
}

func (r *rush) fetch(n int) (ids []int) {
	for len(ids) < n {
		select {
		case id := <-r.again:
			ids = append(ids, id)
			continue
		default:
		}
		next := int(r.begun.Add(1)) - 1
		if next >= r.jobs {
			break
		}
		ids = append(ids, next)
	}
	return ids
}

func (r *rush) work(ctx context.Context, g *policy.Guard, id int) {
	dice := rand.New(rand.NewPCG(r.seed, uint64(id)+1))
	task := policy.Task{Key: strconv.Itoa(id), Allowed: 5, Call: policy.Call{Body: r.body(id)}}
	got := g.DoTask(ctx, task, func(context.Context) policy.Reply {
		brief(dice, 2*time.Millisecond) // the way there
		reply := r.ask(task)
		brief(dice, time.Millisecond) // and back
		return reply
	})
	if got.Fault == nil {
		r.ended <- struct{}{}
		return
	}
	d := policy.Decide(got.Fault, policy.History{}, len(got.Attempts), got.Evidence, policy.Terms{Attempts: 5}, time.Now())
	if d.Outcome == policy.Dead {
		r.dead.Add(1)
		return
	}
	time.Sleep(d.Delay)
	r.again <- id
}

func (r *rush) ask(task policy.Task) policy.Reply {
	req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", bytes.NewReader(task.Call.Body))
	req.Header.Set("X-Client-Request-Id", task.Key)
	w := httptest.NewRecorder()
	r.provider.ServeHTTP(w, req)
	return policy.Reply{Status: w.Code, Header: textproto.MIMEHeader(w.Header()), Body: w.Body.Bytes()}
}

// prompts are of so many tokens, each length as likely as its half.
func prompts(seed uint64, least, most float64) func(int) []byte {
	return func(i int) []byte {
		dice := rand.New(rand.NewPCG(seed, uint64(i)))
		text := bytes.Repeat([]byte("x"), 4*int(least*math.Pow(most/least, dice.Float64())))
		return fmt.Appendf(nil, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"%07d %s"}]}`, i, text)
	}
}

// seeds is how many nights a storm is tried on: a few, or many where STORM_SEEDS says so.
func seeds(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(cmp.Or(os.Getenv("STORM_SEEDS"), "2"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// worst keeps the worst figures of several seeds.
type worst struct{ used, refused float64 }

func (w *worst) add(used float64, s sim.Stats) {
	w.used, w.refused = min(w.used, used), max(w.refused, float64(s.Refused)/float64(s.Calls))
}

func (w *worst) want(t *testing.T, used, refused float64) {
	t.Helper()
	t.Logf("worst: used %.1f %%, refused %.2f %%", 100*w.used, 100*w.refused)
	if w.used < used || w.refused > refused {
		t.Errorf("want used >= %.0f %%, refused <= %.1f %%", 100*used, 100*refused)
	}
}

// A call may need all the tokens that the provider allows at once, so that every one of those
// before it counts, to the millisecond: also the scout's, also when the scout's answer is slow.
func TestStormOfTokens(t *testing.T) {
	t.Parallel()
	w := worst{used: 1}
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			c := sim.Config{TPM: 200_000, Latency: 400 * time.Millisecond, Sigma: .5, Seed: seed}
			s := newRush(c, 640, prompts(seed, 50, 8000)).run(t, 20*time.Minute)
			w.add(float64(s.AnsweredTokens)/float64(c.TPM)/s.Seconds*60, s)
			if s.Early > 0 || s.Answered < 640 {
				t.Errorf("seed %d: %d early, %d answered", seed, s.Early, s.Answered)
			}
		})
	}
	w.want(t, .93, .01)
}

// The window with all that is around it: the scout at the start, and jobs that come again.
func TestStormOfSteps(t *testing.T) {
	t.Parallel()
	w := worst{used: 1}
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			const step, latency = 20 * time.Second, 400 * time.Millisecond
			c := sim.Config{Capacity: 64, Latency: latency, Sigma: .5, Seed: seed}
			c.Steps = []sim.Step{{Capacity: 16, At: step}, {Capacity: 128, At: 2 * step}, {Capacity: 64, At: 3 * step}}
			s := newRush(c, 20_000, prompts(seed, 50, 51)).run(t, 4*step)
			w.add(s.Share(), s)
		})
	}
	w.want(t, .90, .05)
}

// While the first call is on its way for long, the others follow one by one, and a refusal of one
// of them reaches those behind it.
func TestSlowScout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{Start: 16})
		var sent atomic.Int32
		for range g.TryTake(16) {
			go g.Do(t.Context(), "a", 5, func(context.Context) policy.Reply {
				if sent.Add(1) == 1 {
					time.Sleep(20 * time.Second)
					return answer()
				}
				time.Sleep(10 * time.Millisecond)
				return policy.Reply{Status: 429, Header: textproto.MIMEHeader{"Retry-After": {"60"}}}
			})
		}
		time.Sleep(10 * time.Second)
		if n := sent.Load(); n != 2 {
			t.Errorf("%d calls, want the first and one refused", n)
		}
		time.Sleep(time.Minute)
	})
}
