package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/consumer/provider/openai"
	"nightshift/policy"
	"nightshift/producer"
)

func (a *app) benchOverheadCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "overhead",
		Short: "What the queue costs, beside a bare loop of calls",
		Long: "overhead sends the same jobs to a provider that answers at once: through a loop in memory (read\n" +
			"lines, call, decode, write lines; nothing survives a crash), and through nightshift with the store\n" +
			"fsynced every second and always. \"drain\" counts from the first pull to the last stored answer;\n" +
			"\"run\" adds validating, submitting and writing the answers in order.",
		Example: "  nightshift bench overhead --jobs 20000",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.benchOverhead(cmd.Context(), f) },
	}
	f.register(cmd, 50_000, 3, 128)
	return cmd
}

func (a *app) benchOverhead(ctx context.Context, f benchFlags) (err error) {
	b, err := a.newBench(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var loop, drain1s, run1s, drainAlways, runAlways []time.Duration
	for range f.rounds {
		took, err := b.loop(ctx)
		if err != nil {
			return err
		}
		loop = append(loop, took)
		drain, run, err := b.whole(ctx, "1s")
		if err != nil {
			return err
		}
		drain1s, run1s = append(drain1s, drain), append(run1s, run)
		if drain, run, err = b.whole(ctx, "always"); err != nil {
			return err
		}
		drainAlways, runAlways = append(drainAlways, drain), append(runAlways, run)
	}
	t := a.table()
	printf(t, "%d jobs, %d in flight, instant provider\tjobs/s\tof the loop\n", f.jobs, f.inFlight)
	for _, r := range []struct {
		name string
		took []time.Duration
	}{
		{"loop in memory", loop},
		{"nightshift, sync 1s, drain", drain1s},
		{"nightshift, sync 1s, run", run1s},
		{"nightshift, sync always, drain", drainAlways},
		{"nightshift, sync always, run", runAlways},
	} {
		printf(t, "%s\t%.0f\t%.2f\n", r.name, perSecond(f.jobs, median(r.took)),
			float64(median(loop))/float64(median(r.took)))
	}
	return t.Flush()
}

func (b *bench) provider() (*openai.Provider, error) {
	return openai.New(openai.Config{BaseURL: b.base, MaxInFlight: b.inFlight})
}

func (b *bench) guard() policy.GuardConfig {
	return policy.GuardConfig{MaxInFlight: b.inFlight, Start: b.inFlight}
}

// loop is the baseline: the same client and decoding, and nothing else.
func (b *bench) loop(ctx context.Context) (time.Duration, error) {
	p, err := b.provider()
	if err != nil {
		return 0, err
	}
	defer p.Close()
	out, err := newDraft(filepath.Join(b.tmp, "loop.jsonl"))
	if err != nil {
		return 0, err
	}
	defer out.abandon()
	start := time.Now()
	lines := make(chan []byte, b.inFlight)
	errs := make(chan error, b.inFlight+1)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range b.inFlight {
		workers.Go(func() {
			for line := range lines {
				if err := loopOne(ctx, p, line, out, &mu); err != nil {
					errs <- err
				}
			}
		})
	}
	if err := readLines(b.file, lines); err != nil {
		errs <- err
	}
	close(lines)
	workers.Wait()
	close(errs)
	return time.Since(start), errors.Join(<-errs, out.w.Flush())
}

func readLines(file string, lines chan<- []byte) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	s := bufio.NewScanner(f)
	for s.Scan() {
		lines <- append([]byte(nil), s.Bytes()...)
	}
	return s.Err()
}

func loopOne(ctx context.Context, p consumer.Provider, line []byte, out *draft, mu *sync.Mutex) error {
	job, err := producer.ParseLine(line)
	if err != nil {
		return err
	}
	r := p.Call(ctx, policy.Call{ID: job.ID, Path: job.URL, Body: job.Body})
	if f := policy.Classify(r); f != nil {
		return f
	}
	_ = policy.ReadAnswer(r.Body)
	answer := consumer.AnswerLine(&job, job.ID, policy.RequestID(r.Header), r.Body)
	mu.Lock()
	defer mu.Unlock()
	return out.line(answer)
}

// whole takes the jobs through nightshift; drain is part of run.
func (b *bench) whole(ctx context.Context, sync string) (drain, run time.Duration, err error) {
	s, err := b.newStage(ctx, sync)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p, err := b.provider()
	if err != nil {
		return 0, 0, err
	}
	defer p.Close()
	start := time.Now()
	if _, _, err := s.submit(ctx, b.file); err != nil {
		return 0, 0, err
	}
	if drain, err = s.work(ctx, p, b.guard(), b.jobs, nil); err != nil {
		return 0, 0, err
	}
	err = b.writeAnswers(ctx, s)
	return drain, time.Since(start), err
}

// writeAnswers writes the answers in the order of the file, as run does.
func (b *bench) writeAnswers(ctx context.Context, s *stage) (err error) {
	r := &runState{app: b.app, session: s.session, started: time.Now()}
	if r.src, err = producer.Open(b.file); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.src.Close()) }()
	if r.report, err = r.src.Validate(ctx, producer.Limits{}); err != nil {
		return err
	}
	if r.batch, err = s.producer.Batch(ctx, benchBatch); err != nil {
		return err
	}
	if r.out, err = newOutput(b.stdout, filepath.Join(b.tmp, "answers.jsonl"), ""); err != nil {
		return err
	}
	defer r.out.abandon()
	_, err = r.writeOutputs(ctx)
	return err
}
