package main

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"nightshift/consumer/provider/openai"
	"nightshift/policy"
	"nightshift/producer"
)

// What the loop does, as the OpenAI Cookbook has it: a random exponential backoff from 1 s to
// 60 s, and six tries.
const (
	loopInFlight = 64
	loopTries    = 6
	loopFirst    = time.Second
	loopMost     = time.Minute
)

// limiter lets a call of the loop begin; done tells it whether the call was answered.
type limiter func(ctx context.Context) (done func(answered bool), err error)

func unlimited(ctx context.Context) (func(bool), error) { return func(bool) {}, ctx.Err() }

// stormLoop works the jobs in memory; nothing survives a crash.
func stormLoop(limit func() limiter) func(context.Context, *bench, storm, *openai.Provider, *race) error {
	return func(ctx context.Context, b *bench, s storm, p *openai.Provider, r *race) error {
		jobs, err := loopJobs(b.file)
		if err != nil {
			return err
		}
		r.provider.Set(s.sim)
		r.provider.ResetStats()
		next := make(chan *producer.Job)
		acquire := limit()
		var group sync.WaitGroup
		for range loopInFlight {
			group.Go(func() {
				for job := range next {
					loopCall(ctx, p, job, s.timeout, acquire, r)
				}
			})
		}
		for i := range jobs {
			select {
			case next <- &jobs[i]:
			case <-ctx.Done():
			}
		}
		close(next)
		group.Wait()
		return nil
	}
}

func loopJobs(file string) (jobs []producer.Job, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		job, err := producer.ParseLine(append([]byte(nil), lines.Bytes()...))
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, lines.Err()
}

// loopCall makes one job's calls. What retrying cannot mend is not tried again.
func loopCall(
	ctx context.Context, p *openai.Provider, job *producer.Job, timeout time.Duration, acquire limiter, r *race,
) {
	for try := range loopTries {
		done, err := acquire(ctx)
		if err != nil {
			return
		}
		fault := loopOnce(ctx, p, job, timeout)
		done(fault == nil)
		switch {
		case fault == nil:
			r.count(1, 0)
			return
		case ctx.Err() != nil:
			return
		case fault.Status >= 400 && fault.Status < 500 && fault.Status != 429 && fault.Status != 408:
			r.count(0, 1)
			return
		}
		if try < loopTries-1 && !rested(ctx, rand.N(min(loopFirst<<try, loopMost))) { //nolint:gosec // a backoff
			return
		}
	}
	r.count(0, 1)
}

func loopOnce(ctx context.Context, p *openai.Provider, job *producer.Job, timeout time.Duration) *policy.Fault {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return policy.Classify(p.Call(ctx, policy.Call{ID: benchBatch + "/" + job.ID, Path: job.URL, Body: job.Body}))
}

// rested waits, and says whether ctx let it.
func rested(ctx context.Context, d time.Duration) bool {
	rest, stop := context.WithTimeout(ctx, d)
	defer stop()
	<-rest.Done()
	return ctx.Err() == nil
}
