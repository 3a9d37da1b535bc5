package consumer_test

import (
	"testing"
	"time"

	"nightshift/consumer"
)

// provider is what a worker says of acme.
func (r *worker) ceiling() int { return r.Stats().Providers["acme"].Ceiling }

// The configured calls in flight are those of all workers together, also while more workers
// come to a queue in full swing; when they leave, the one that stays has all of them.
func TestInFlightIsShared(t *testing.T) {
	t.Parallel()
	const limit = 6
	w := newWorld(t, "latency=150ms") // so that the jobs last for two minutes
	w.putMany(t, "b", 5000, "x")
	var workers []*worker
	for i := range 4 {
		workers = append(workers, w.start(t, func(c *consumer.Config) { c.Accounts[0].Guard.MaxInFlight = limit }))
		eventually(t, "it calls", func() bool { return workers[i].Stats().Calls > 3 })
	}
	sum := 0
	for _, r := range workers {
		sum += r.ceiling()
	}
	if sum != limit {
		t.Errorf("the parts add up to %d", sum)
	}
	if s := w.Stats(); s.MaxInFlight > limit {
		t.Errorf("stats %+v", s)
	}
	for _, r := range workers[1:] {
		r.stop()
		check(t, r.wait(t))
	}
	eventually(t, "all is the last one's", func() bool { return workers[0].ceiling() == limit })
	eventually(t, "it uses all", func() bool { return w.Stats().InFlight == limit || w.jobs(t) == 0 })
	if s := w.Stats(); s.MaxInFlight > limit {
		t.Errorf("stats %+v", s)
	}
	workers[0].stop()
}

// The configured requests a minute are those of all workers together.
func TestPaceIsShared(t *testing.T) {
	t.Parallel()
	const perMinute = 1200
	w := newWorld(t, "latency=5ms")
	w.putMany(t, "b", 4000, "x")
	var workers []*worker
	start := time.Now()
	for range 4 {
		workers = append(workers, w.start(t, func(c *consumer.Config) { c.Accounts[0].Guard.RequestsPerMinute = perMinute }))
	}
	eventually(t, "calls of all", func() bool {
		for _, r := range workers {
			if r.Stats().Calls < 15 {
				return false
			}
		}
		return true
	})
	// In time so long the limit lets so many through, and half a second's at once.
	if s, most := w.Stats(), perMinute/60*(time.Since(start).Seconds()+.5)+1; float64(s.Calls) > most {
		t.Errorf("%d calls, at most %.0f are allowed", s.Calls, most)
	}
	for _, r := range workers[1:] {
		r.stop()
		check(t, r.wait(t))
	}
	eventually(t, "all is the last one's", func() bool { return workers[0].Stats().Providers["acme"].Workers == 1 })
	w.ResetStats()
	start = time.Now()
	eventually(t, "it uses all", func() bool { return w.Stats().Calls >= 60 })
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("60 calls took %v", took)
	}
	if s, most := w.Stats(), perMinute/60*(time.Since(start).Seconds()+.5)+1; float64(s.Calls) > most {
		t.Errorf("%d calls, at most %.0f are allowed", s.Calls, most)
	}
	workers[0].stop()
}

// A worker that died is not waited for long, nor one that has nothing to do with the provider.
func TestDeadWorkerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	fleet, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	for id, text := range map[string]string{
		"w-long-dead": `{"id":"w-long-dead","beat":"2020-01-01T00:00:00Z","providers":{"acme":{}}}`,
		"w-other":     `{"id":"w-other","beat":"2999-01-01T00:00:00Z","providers":{"other":{}}}`,
		"w-garbage":   `{`,
		"w-fresh": `{"id":"w-fresh","beat":"` + time.Now().UTC().Format(time.RFC3339Nano) +
			`","providers":{"acme":{}}}`,
	} {
		_, err := fleet.Put(t.Context(), "worker."+id, []byte(text))
		check(t, err)
	}
	w.put(t, "b", line("j", "x"))
	start := time.Now()
	r := w.start(t)
	w.ending(t, "b", "j")
	if took := time.Since(start); took < 5*time.Second {
		t.Errorf("it began after %v beside one that might live", took)
	}
	if p := r.Stats().Providers["acme"]; p.Workers != 1 || p.Ceiling != 32 {
		t.Errorf("%+v", p)
	}
}
