package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"nightshift/consumer/provider/openai"
	"nightshift/consumer/provider/sim"
	"nightshift/policy"
)

// contender is one way to get the jobs done.
type contender struct {
	name string
	// work calls the provider until every job has ended or ctx ends, and keeps count in r.
	work func(ctx context.Context, b *bench, s storm, p *openai.Provider, r *race) error
}

// race is what is seen of a contender while it works. The counts are its own, the rest is the
// provider's.
type race struct {
	mu             sync.Mutex
	answered, dead int
	classes        map[policy.Class]int
	// held is how many calls there were when the contender first held the provider, 0 if never.
	held     int
	provider *sim.Handler
}

// count brings the counts forward.
func (r *race) count(answered, dead int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered, r.dead = r.answered+answered, r.dead+dead
}

func (r *race) ended() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered + r.dead
}

// figures are what a scenario measured of one contender.
type figures struct {
	sim.Stats
	who            string
	used           float64
	answered, dead int
	classes        map[policy.Class]int
	held, lost     int
}

func (f figures) refused() float64 {
	if f.Calls == 0 {
		return 0
	}
	return float64(f.Refused) / float64(f.Calls)
}

func (f figures) callsPerJob() float64 {
	if f.DistinctIDs == 0 {
		return 0
	}
	return float64(f.Calls) / float64(f.DistinctIDs)
}

// storm runs one scenario for all contenders at once: they wait far more than they compute, and
// each has a provider of its own with the same seed.
func (a *app) storm(ctx context.Context, s storm, all []contender) ([]figures, error) {
	rows, errs := make([]figures, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, c := range all {
		group.Go(func() { rows[i], errs[i] = a.race(ctx, s, c) })
	}
	group.Wait()
	return rows, errors.Join(errs...)
}

func (a *app) race(ctx context.Context, s storm, c contender) (f figures, err error) {
	b, err := a.newBench(ctx, benchFlags{jobs: s.jobs, inFlight: stormCeiling, line: s.line})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	r := &race{provider: sim.New(s.sim), classes: map[policy.Class]int{}}
	base, stop, err := serveStorm(ctx, r.provider)
	if err != nil {
		return f, err
	}
	defer stop()
	p, err := openai.New(openai.Config{BaseURL: base, MaxInFlight: stormCeiling})
	if err != nil {
		return f, err
	}
	defer p.Close()
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	measured := make(chan figures, 1)
	go func() { measured <- s.measure(working, r); cancel() }()
	err = c.work(working, b, s, p, r)
	cancel()
	f = <-measured
	f.who = c.name
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	return f, err
}

func serveStorm(ctx context.Context, h *sim.Handler) (base string, stop func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the simulated provider: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends by Close
	}()
	return "http://" + l.Addr().String() + "/v1", func() { _ = srv.Close(); <-done }, nil
}

// stormPatience is how much longer a scenario with an end lasts at most.
const stormPatience = 30 * time.Second

// measure waits for the first call, starts the provider's clock, and takes the figures when the
// scenario's time is over or all jobs have ended.
func (s storm) measure(ctx context.Context, r *race) figures {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var start time.Time
	warm := s.warm > 0
	for {
		select {
		case <-ctx.Done():
			return s.figures(r)
		case now := <-tick.C:
			switch calls := r.provider.Stats().Calls; {
			case start.IsZero() && calls == 0:
				continue
			case start.IsZero():
				start = now
			}
			if warm && now.Sub(start) >= s.warm {
				warm = false
				r.provider.ResetStats()
			}
			late := now.Sub(start) - s.end
			// What is to end may still be on its way to a slow disk.
			ended := s.end > 0 && late >= 0 && (r.ended() >= s.want.deaths() || late >= stormPatience)
			if ended || r.ended() >= s.jobs || s.over != nil && s.over(r) {
				return s.figures(r)
			}
		}
	}
}

func (s storm) figures(r *race) figures {
	f := figures{Stats: r.provider.Stats()}
	if s.used != nil {
		f.used = s.used(f.Stats)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.answered, f.dead, f.classes, f.held = r.answered, r.dead, r.classes, r.held
	f.lost = s.jobs - f.answered - f.dead
	return f
}
