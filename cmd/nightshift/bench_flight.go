package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/policy"
)

func (a *app) benchFlightCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "flight",
		Short: "Many slow calls at once: rate, memory, longest gap",
		Long: "flight works jobs against a provider of fixed latency with thousands in flight, and reports how\n" +
			"close it comes to in-flight / latency, the memory, and the longest time without any call started\n" +
			"while jobs were pending and slots free.",
		Example: "  nightshift bench flight --jobs 20000",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.benchFlight(cmd.Context(), f) },
	}
	f.register(cmd, 150_000, 1, 5000)
	cmd.Flags().DurationVar(&f.latency, "latency", time.Second, "how long the provider takes for an answer")
	return cmd
}

// starts notes when calls start.
type starts struct {
	consumer.Provider
	mu    sync.Mutex
	last  time.Time
	gap   time.Duration
	count int
}

// Call notes the time since the call before.
func (s *starts) Call(ctx context.Context, c policy.Call) policy.Reply {
	s.mu.Lock()
	now := time.Now()
	if !s.last.IsZero() {
		s.gap = max(s.gap, now.Sub(s.last))
	}
	s.last = now
	s.count++
	s.mu.Unlock()
	return s.Provider.Call(ctx, c)
}

func (a *app) benchFlight(ctx context.Context, f benchFlags) (err error) {
	b, err := a.newBench(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	stopSim, err := b.simElsewhere(ctx, "latency="+f.latency.String())
	if err != nil {
		return err
	}
	defer stopSim()
	s, err := b.newStage(ctx, "1s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, _, err := s.submit(ctx, b.file); err != nil {
		return err
	}
	p, err := b.provider()
	if err != nil {
		return err
	}
	defer p.Close()
	before := rss()
	counted := &starts{Provider: p}
	peak := 0
	took, err := s.work(ctx, counted, b.guard(), f.jobs, func(consumer.Stats) { peak = max(peak, rss()) })
	if err != nil {
		return err
	}
	ideal := time.Duration(float64(f.jobs) / float64(f.inFlight) * float64(f.latency))
	t := a.table()
	printf(t, "%d jobs of %s, %d in flight\t\n", f.jobs, f.latency, f.inFlight)
	printf(t, "rate\t%.0f jobs/s, %.0f %% of the ideal %.0f\n", perSecond(f.jobs, took),
		100*ideal.Seconds()/took.Seconds(), perSecond(f.jobs, ideal))
	printf(t, "longest gap between calls\t%s\n", counted.gap.Round(time.Millisecond))
	printf(t, "RSS, broker included\t%d MiB before, %d MiB at most\n", before, peak)
	return t.Flush()
}

// simElsewhere serves the provider in a process of its own, so that its memory is not ours.
func (b *bench) simElsewhere(ctx context.Context, spec string) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "simulate", spec) //nolint:gosec // it runs this very binary
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the simulated provider: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the simulated provider: %w", err)
	}
	b.base = strings.TrimSpace(line)
	return stop, nil
}

// rss is the resident memory of this process in MiB, or 0 where the system does not tell.
func rss() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}
