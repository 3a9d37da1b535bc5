package consumer_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// One worker after the other takes over under load: nothing is lost or called twice, no call is cut
// short by a grace period that is far too small for it, and no more calls than the ceiling are in
// flight.
func TestRetire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=60ms")
	const n, ceiling = 400, 16
	w.putMany(t, "b", n, "x")
	limited := func(c *consumer.Config) {
		c.Accounts[0].Guard.MaxInFlight, c.Accounts[0].Guard.Start = ceiling, ceiling
		c.Grace = time.Nanosecond
	}
	now := w.start(t, limited)
	for i := range 4 {
		eventually(t, "calls", func() bool { return now.Stats().Answered > 10 })
		next := w.start(t, limited)
		now.Retire()
		now.Retire() // it may be said twice
		if err := now.wait(t); err != nil {
			t.Fatalf("worker %d: %v", i, err)
		}
		now = next
	}
	w.ended(t, "b", n)
	w.drained(t)
	if got := w.counts(t, "b"); got.Answered != n {
		t.Errorf("counts %+v", got)
	}
	if s := w.Stats(); s.Calls != n || s.MaxInFlight > ceiling {
		t.Errorf("%d calls, %d at once", s.Calls, s.MaxInFlight)
	}
}

// A retired worker whose context ends has the grace period, and hands the rest back.
func TestRetireAndStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=1h")
	w.putMany(t, "b", 4, "x")
	run := w.start(t, few, func(c *consumer.Config) { c.Grace = time.Millisecond })
	eventually(t, "calls", func() bool { return w.Stats().InFlight == 4 })
	run.Retire()
	run.stop()
	if err := run.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := w.jobs(t); got != 4 {
		t.Errorf("%d jobs are left", got)
	}
}

// tally is an Observer that counts.
type tally struct {
	mu      sync.Mutex
	calls   map[policy.Class]int
	took    time.Duration
	settled map[consumer.Settlement]int
	dead    map[policy.Class]int
	tokens  int
	batches map[string]bool
}

// Called counts a call.
func (o *tally) Called(account string, class policy.Class, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if account == "acme" {
		o.calls[class]++
		o.took += took
	}
}

// Settled counts a delivery.
func (o *tally) Settled(s consumer.Settled) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled[s.Outcome]++
	if s.Outcome == consumer.SettledDead {
		o.dead[s.Class]++
	}
	o.tokens += s.OutputTokens
	o.batches[s.Queue+"/"+s.Account+"/"+s.Batch] = true
}

// The observer hears of every call and of every ending, once.
func TestObserver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=5ms")
	o := &tally{
		calls: map[policy.Class]int{}, settled: map[consumer.Settlement]int{}, dead: map[policy.Class]int{}, batches: map[string]bool{},
	}
	const n = 20
	w.putMany(t, "b", n, "x")
	w.put(t, "b", "no JSON at all")
	w.put(t, "b", `{"custom_id":"job-0","body":{"model":"m","messages":[{"role":"user","content":"x"}]}}`, "Nightshift-Look", "1")
	run := w.start(t, func(c *consumer.Config) { c.Observer = o })
	w.ended(t, "b", n+1)
	w.drained(t)
	run.stop()
	if err := run.wait(t); err != nil {
		t.Fatal(err)
	}
	if o.calls[""] != w.Stats().Answered || o.took < n*5*time.Millisecond || o.tokens == 0 {
		t.Errorf("calls %+v, took %v, %d tokens; the provider answered %d", o.calls, o.took, o.tokens, w.Stats().Answered)
	}
	if o.settled[consumer.SettledAnswered] != n || o.dead[policy.Malformed] != 1 ||
		o.settled[consumer.SettledDuplicate]+o.settled[consumer.SettledDoubled] != 1 {
		t.Errorf("settled %+v, dead %+v", o.settled, o.dead)
	}
	if len(o.batches) != 1 || !o.batches["default/acme/b"] {
		t.Errorf("of %v", o.batches)
	}
	byClass, err := w.store.DeadByClass(t.Context())
	check(t, err)
	if len(byClass) != 1 || byClass[policy.Malformed] != 1 {
		t.Errorf("dead by class %v", byClass)
	}
}

// Of several workers that put a notice one wins, and one of several that take it.
func TestNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	one := consumer.Notice{Event: "complete-1", To: "a", At: time.Now().UTC(), Body: []byte(`{"a":1}`)}
	first, second := one, one
	check(t, w.store.PutNotice(t.Context(), &first))
	if err := w.store.PutNotice(t.Context(), &second); !isTaken(err) {
		t.Errorf("put twice: %v", err)
	}
	all, err := w.store.Notices(t.Context())
	check(t, err)
	if len(all) != 1 || string(all[0].Body) != `{"a":1}` || all[0].Over() {
		t.Fatalf("notices %+v", all)
	}
	other := all[0]
	all[0].Delivered = time.Now()
	check(t, w.store.PutNotice(t.Context(), &all[0]))
	if err := w.store.PutNotice(t.Context(), &other); !isTaken(err) {
		t.Errorf("taken twice: %v", err)
	}
	all, err = w.store.Notices(t.Context())
	check(t, err)
	if len(all) != 1 || !all[0].Over() {
		t.Errorf("notices %+v", all)
	}
}

func isTaken(err error) bool { return errors.Is(err, consumer.ErrNoticeTaken) }
