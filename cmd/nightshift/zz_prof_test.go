package main

import (
	"context"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestZZProf(t *testing.T) {
	a := &app{started: time.Now(), stdout: io.Discard, stderr: &screen{out: io.Discard}, config: &config{}}
	f := benchFlags{jobs: 60000, rounds: 1, inFlight: 128, size: 600}
	ctx := context.Background()
	b, err := a.newBench(ctx, f, "")
	if err != nil { t.Fatal(err) }
	defer b.close()
	sync := os.Getenv("SYNC")
	c0 := cpu()
	ld, err := b.loop(ctx)
	t.Logf("loop %v %.0f/s cpu/job %v", ld, perSecond(f.jobs, ld), (cpu()-c0)/60000)
	s, err := b.newStage(ctx, sync)
	if err != nil { t.Fatal(err) }
	defer s.close()
	p, _ := b.provider()
	c0 = cpu()
	t0 := time.Now()
	if _, _, err := s.submit(ctx, b.file); err != nil { t.Fatal(err) }
	t.Logf("submit %.0f/s cpu/job %v", perSecond(f.jobs, time.Since(t0)), (cpu()-c0)/60000)
	out, _ := os.Create("/tmp/prof/drain.prof")
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	c0 = cpu()
	if os.Getenv("PROF") != "" { pprof.StartCPUProfile(out) }
	d, err := s.work(ctx, p, b.guard(), b.jobs, nil)
	pprof.StopCPUProfile()
	out.Close()
	if err != nil { t.Fatal(err) }
	runtime.ReadMemStats(&m1)
	t.Logf("drain %v %.0f/s cpu/job %v allocs/job %d bytes/job %d", d, perSecond(f.jobs, d), (cpu()-c0)/60000, (m1.Mallocs-m0.Mallocs)/60000, (m1.TotalAlloc-m0.TotalAlloc)/60000)
}
