package sim_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/consumer/provider/sim"
)

func TestRequestsAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "rpm=600"))
		for i := range 10 {
			r := direct(t, h, number(i), "hi")
			if r.status != 200 || r.head.Get("X-Ratelimit-Limit-Requests") != "600" ||
				r.head.Get("X-Ratelimit-Remaining-Requests") != number(9 - i)[4:] {
				t.Fatalf("call %d: %+v", i, r)
			}
		}
		r := direct(t, h, "over", "hi")
		kind, code, message := r.failure(t)
		if r.status != 429 || kind != "requests" || code != "rate_limit_exceeded" ||
			!strings.Contains(message, "Rate limit reached for gpt-x") ||
			!strings.Contains(message, "Limit 600, Used 600, Requested 1. Please try again in 100ms.") {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r.head.Get("Retry-After") != "1" || r.head.Get("X-Ratelimit-Remaining-Requests") != "0" ||
			r.head.Get("X-Ratelimit-Reset-Requests") != "1s" {
			t.Errorf("headers %v", r.head)
		}
		time.Sleep(100 * time.Millisecond)
		if r := direct(t, h, "again", "hi"); r.status != 200 {
			t.Errorf("after the wait it named: %+v", r)
		}
		if r := direct(t, h, "more", "hi"); r.status != 429 {
			t.Errorf("one more: %+v", r)
		}
	})
}

// However calls come, a bucket admits its burst and what was refilled, and no more.
func TestRateHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "rpm=120,burst=5"))
		for range 3000 { // a minute, every 20 ms
			direct(t, h, "a", "hi")
			time.Sleep(20 * time.Millisecond)
		}
		if s := h.Stats(); s.Answered < 124 || s.Answered > 125 || s.Refused != 3000-s.Answered {
			t.Errorf("%+v", s)
		}
	})
}

func TestTokensAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "tpm=6000,words=10"))
		prompt := strings.Repeat("x", 1000-30) // with the JSON around it 249 tokens, more than the burst of 100
		r := direct(t, h, "a", prompt)
		if r.status != 200 || r.head.Get("X-Ratelimit-Limit-Tokens") != "6000" || r.head.Get("X-Ratelimit-Limit-Requests") != "" {
			t.Fatalf("%+v", r)
		}
		r = direct(t, h, "b", prompt)
		kind, _, message := r.failure(t)
		if r.status != 429 || kind != "tokens" || r.head.Get("Retry-After") != "3" {
			t.Fatalf("%+v", r)
		}
		if !strings.Contains(message, "on tokens per min (TPM): Limit 6000, Used 6000, Requested 2") {
			t.Error(message)
		}
		time.Sleep(3 * time.Second)
		if r := direct(t, h, "b", prompt); r.status != 200 {
			t.Errorf("after Retry-After: %+v", r)
		}
	})
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	h := sim.New(parse(t, "tpm=100"))
	r := direct(t, h, "a", strings.Repeat("x", 2000))
	kind, code, message := r.failure(t)
	if r.status != 429 || kind != "tokens" || code != "rate_limit_exceeded" || r.head.Get("Retry-After") != "" {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(message, "Request too large for gpt-x") || !strings.Contains(message, "Limit 100, Requested 5") {
		t.Error(message)
	}
}

func TestHeadersOff(t *testing.T) {
	t.Parallel()
	h := sim.New(parse(t, "rpm=1,headers=off"))
	for range 2 {
		r := direct(t, h, "a", "hi")
		for key := range r.head {
			if strings.HasPrefix(key, "X-") || key == "Retry-After" {
				t.Errorf("%d has %s", r.status, key)
			}
		}
		if strings.Contains(r.body, "try again") {
			t.Error(r.body)
		}
	}
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]struct {
		status int
		text   string
	}{
		"":              {429, "System is experiencing high demand"},
		",overload=503": {503, "server_is_overloaded"},
		",overload=529": {529, "overloaded_error"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := sim.New(parse(t, "capacity=2,latency=1s"+spec))
			var wg sync.WaitGroup
			for i := range 2 {
				wg.Go(func() { direct(t, h, number(i), "hi") })
			}
			synctest.Wait()
			r := direct(t, h, "over", "hi")
			if r.status != want.status || !strings.Contains(r.body, want.text) || r.head.Get("Retry-After") != "" {
				t.Errorf("%q: %+v", spec, r)
			}
			wg.Wait()
			if r := direct(t, h, "later", "hi"); r.status != 200 {
				t.Errorf("%q: later: %+v", spec, r)
			}
		})
	}
}

// The integrals say how much of what was there was used.
func TestStepsAndShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "latency=10s,steps=4@0s/0@10s/2@20s,outage=25s-30s"))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { direct(t, h, number(i), "hi") })
		}
		wg.Wait()
		if r := direct(t, h, "shut", "hi"); r.status != 429 {
			t.Errorf("in the step to 0: %+v", r)
		}
		time.Sleep(15 * time.Second)
		if r := direct(t, h, "out", "hi"); r.status != 503 {
			t.Errorf("in the outage: %+v", r)
		}
		time.Sleep(5 * time.Second)
		s := h.Stats()
		if s.BusySeconds != 40 || s.CapacitySeconds != 4*10+2*5 || s.Share() != 0.8 || s.Seconds != 30 || s.Refused != 2 {
			t.Errorf("%+v", s)
		}
		h.ResetStats()
		h.Set(parse(t, "capacity=3"))
		time.Sleep(2 * time.Second)
		if s := h.Stats(); s.BusySeconds != 0 || s.CapacitySeconds != 6 || s.Calls != 0 {
			t.Errorf("after reset: %+v", s)
		}
	})
}

func TestClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "closed=3s"))
		time.Sleep(500 * time.Millisecond)
		r := direct(t, h, "a", "hi")
		if r.status != 429 || r.head.Get("Retry-After") != "3" || !strings.Contains(r.body, "Please try again in 2.5s.") {
			t.Errorf("%+v", r)
		}
		if strings.Contains(r.body, "Limit") {
			t.Errorf("numbers mean that the request is too large: %s", r.body)
		}
		time.Sleep(2500 * time.Millisecond)
		if r := direct(t, h, "b", "hi"); r.status != 200 {
			t.Errorf("open: %+v", r)
		}
	})
}

func TestEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "closed=3s"))
		early := func(after time.Duration, id string, want int) {
			t.Helper()
			time.Sleep(after)
			direct(t, h, id, "hi")
			if got := h.Stats().Early; got != want {
				t.Errorf("%s: %d early, want %d", id, got, want)
			}
		}
		early(0, "a", 0)
		early(200*time.Millisecond, "b", 0)  // was on its way
		early(0, "a", 1)                     // was told itself
		early(100*time.Millisecond, "c", 2)  // must know from a's
		early(2700*time.Millisecond, "d", 3) // open, and a's 3 s are over, but b was told until 3.2 s
		early(400*time.Millisecond, "e", 3)  // past all that was told
	})
}

// What is told now binds in 250 ms, even when an older promise has just run out.
func TestEarlyKeepsPromisesApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(sim.Config{})
		direct(t, h, "a", "[[sim:429x1,retry_after=1]]")
		time.Sleep(900 * time.Millisecond)
		h.Set(sim.Config{}) // keeps promises
		direct(t, h, "b", "[[sim:503x1,retry_after=5]]")
		if got := h.Stats().Early; got != 1 {
			t.Fatalf("%d early, want b", got)
		}
		time.Sleep(150 * time.Millisecond)
		direct(t, h, "c", "hi")
		if got := h.Stats().Early; got != 1 {
			t.Errorf("%d early: c could not know", got)
		}
		time.Sleep(150 * time.Millisecond)
		direct(t, h, "d", "hi")
		if got := h.Stats().Early; got != 2 {
			t.Errorf("%d early: d could know", got)
		}
	})
}

func TestLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		took := func(h *sim.Handler, id string) time.Duration {
			start := time.Now()
			direct(t, h, id, "hi")
			return time.Since(start)
		}
		if got := took(sim.New(parse(t, "latency=400ms")), "a"); got != 400*time.Millisecond {
			t.Errorf("constant: %s", got)
		}
		h, same := sim.New(parse(t, "latency=400ms,sigma=0.5")), sim.New(parse(t, "latency=400ms,sigma=0.5"))
		below := 0
		for i := range 1000 {
			d := took(h, number(i))
			if d < 400*time.Millisecond {
				below++
			}
			if again := took(same, number(i)); again != d {
				t.Fatalf("%s, then %s", d, again)
			}
		}
		if below < 450 || below > 550 {
			t.Errorf("%d of 1000 below the median", below)
		}
		if got := took(sim.New(parse(t, "latency=1s,bad=1")), "a"); got != 0 {
			t.Errorf("a bad request took %s", got)
		}
	})
}
