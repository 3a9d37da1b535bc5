package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/policy"
	"nightshift/producer"
)

// benchFlags are the settings of the benchmarks.
type benchFlags struct {
	jobs, rounds, inFlight int
	latency                time.Duration
	size                   int
	dir                    string
	profile                string
	line                   func(i int) string // of the prompts; nil for words of size
}

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure nightshift on this machine",
		Long: "bench runs nightshift against a simulated provider on loopback, beside what it is compared with,\n" +
			"in turns and in one process, and prints a table. The machine's speed cancels out of the ratios.",
		Example: "  nightshift bench overhead\n  nightshift bench storm --only steps",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.benchOverheadCommand(), a.benchSubmitCommand(), a.benchFlightCommand(),
		a.benchStormCommand())
	return cmd
}

func (b *benchFlags) register(cmd *cobra.Command, jobs, rounds, inFlight int) {
	fs := cmd.Flags()
	fs.IntVar(&b.jobs, "jobs", jobs, "how many jobs")
	fs.IntVar(&b.rounds, "rounds", rounds, "how often each is measured; the median counts")
	fs.IntVar(&b.inFlight, "in-flight", inFlight, "calls in flight")
	fs.IntVar(&b.size, "size", 600, "bytes of a prompt")
	fs.StringVar(&b.dir, "dir", "", "`directory` for the temporary stores (default the system's)")
	fs.StringVar(&b.profile, "cpuprofile", "", "write a CPU profile to `file`")
}

// bench is a benchmark under way: a directory, a file of jobs and a provider.
type bench struct {
	*app
	benchFlags
	tmp, file string
	base      string
	stop      func() // of the provider

	stopProfile func()
}

func (a *app) newBench(ctx context.Context, f benchFlags) (*bench, error) {
	tmp, err := os.MkdirTemp(f.dir, "nightshift-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the benchmark: %w", err)
	}
	b := &bench{
		app: a, benchFlags: f, tmp: tmp, file: filepath.Join(tmp, "jobs.jsonl"),
		stop: func() {}, stopProfile: func() {},
	}
	if err := b.writeJobs(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.base, b.stop, err = startSim(ctx, ""); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	stopProfile, err := startProfile(f.profile)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.stopProfile = stopProfile
	return b, nil
}

func (b *bench) close() error {
	b.stop()
	b.stopProfile()
	return os.RemoveAll(b.tmp)
}

// writeJobs makes the input: prompts of words, each with its own id.
func (b *bench) writeJobs() error {
	d, err := newDraft(b.file)
	if err != nil {
		return err
	}
	defer d.abandon()
	prompt := strings.Repeat("lorem ipsum dolor ", b.size/18+1)[:b.size]
	for i := range b.jobs {
		if b.line != nil {
			prompt = b.line(i)
		}
		err := d.line(fmt.Appendf(nil, `{"custom_id":"job-%07d","method":"POST","url":"/v1/chat/completions","body":`+
			`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"%07d %s"}]}}`, i, i, prompt))
		if err != nil {
			return err
		}
	}
	return d.commit()
}

// stage is a broker with the jobs' streams on a store of its own.
type stage struct {
	*session
	dir string
}

func (b *bench) newStage(ctx context.Context, sync string) (*stage, error) {
	dir, err := os.MkdirTemp(b.tmp, "store-")
	if err != nil {
		return nil, err
	}
	br, err := broker.Start(ctx, broker.Config{Dir: dir, Sync: sync})
	if err != nil {
		return nil, err
	}
	s, err := b.openSession(ctx, br)
	return &stage{s, dir}, err
}

func (s *stage) close() error { return errors.Join(s.session.close(), os.RemoveAll(s.dir)) }

// submit puts the benchmark's file on the queue and says how long validation and publishing
// took.
func (s *stage) submit(ctx context.Context, file string) (validated, published time.Duration, err error) {
	src, err := producer.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	start := time.Now()
	report, err := src.Validate(ctx, producer.Limits{})
	if err != nil {
		return 0, 0, err
	}
	validated = time.Since(start)
	_, err = s.producer.Submit(ctx, src, report, producer.Submission{Queue: defaultQueue, Batch: benchBatch})
	return validated, time.Since(start) - validated, err
}

const benchBatch = "bench"

// work drains the queue and says how long that took, from the first pull to the last ending.
func (s *stage) work(
	ctx context.Context, p consumer.Provider, g policy.GuardConfig, jobs int, look func(consumer.Stats),
) (time.Duration, error) {
	w, err := consumer.New(ctx, s.js, consumer.Config{
		Accounts: []consumer.Account{{Name: "bench", Provider: p, Guard: g}},
		Queues:   []consumer.Queue{{Name: defaultQueue, Account: "bench"}}, Log: zerolog.Nop(),
		SyncAlways: s.broker.SyncAlways(), Embedded: true,
	})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return 0, errors.Join(err, ctx.Err(), errors.New("the worker ended early"))
		case <-tick.C:
		}
		stats := w.Stats()
		if look != nil {
			look(stats)
		}
		if stats.Answered+deadOf(stats) >= int64(jobs) {
			took := time.Since(start)
			cancel()
			return took, <-done
		}
	}
}

func deadOf(s consumer.Stats) (n int64) {
	for _, d := range s.Dead {
		n += d
	}
	return n
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func (a *app) table() *tabwriter.Writer { return tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0) }
