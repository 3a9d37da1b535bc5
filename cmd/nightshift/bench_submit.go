package main

import (
	"context"
	"errors"
	"os"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) benchSubmitCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "submit",
		Short: "How fast a file becomes jobs on the queue",
		Long: "submit validates a file of lines and publishes it in atomic batches, with the store\n" +
			"fsynced every second and always.",
		Example: "  nightshift bench submit --jobs 100000",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.benchSubmit(cmd.Context(), f) },
	}
	f.register(cmd, 1_000_000, 1, 1)
	f.size = 60
	cmd.Flags().Lookup("size").DefValue = "60"
	return cmd
}

func (a *app) benchSubmit(ctx context.Context, f benchFlags) (err error) {
	b, err := a.newBench(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	t := a.table()
	printf(t, "%d lines of %d bytes\tlines/s\tvalidating\tpublishing\n", f.jobs, b.lineSize())
	for _, sync := range []string{"1s", "always"} {
		var total, validating, publishing []time.Duration
		for range f.rounds {
			v, p, err := b.submitOnce(ctx, sync)
			if err != nil {
				return err
			}
			total, validating, publishing = append(total, v+p), append(validating, v), append(publishing, p)
		}
		printf(t, "sync %s\t%.0f\t%s\t%s\n", sync, perSecond(f.jobs, median(total)),
			median(validating).Round(time.Millisecond), median(publishing).Round(time.Millisecond))
	}
	return t.Flush()
}

func (b *bench) lineSize() int64 {
	info, err := os.Stat(b.file)
	if err != nil {
		return 0
	}
	return info.Size() / int64(b.jobs)
}

func (b *bench) submitOnce(ctx context.Context, sync string) (validated, published time.Duration, err error) {
	s, err := b.newStage(ctx, sync)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.submit(ctx, b.file)
}

// startProfile starts a CPU profile, if file is not empty.
func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
