package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"nightshift/consumer"
	"nightshift/consumer/provider/openai"
	"nightshift/policy"
)

// stormOurs is the real thing: the embedded broker, the producer, and as many workers as the
// scenario wants, each with a guard of its own.
func stormOurs(ctx context.Context, b *bench, s storm, p *openai.Provider, r *race) (err error) {
	// The broker must outlive the workers, which end by ctx.
	stage, err := b.newStage(context.WithoutCancel(ctx), "1s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.close()) }()
	if _, _, err := stage.submit(ctx, b.file); err != nil {
		return err
	}
	r.provider.Set(s.sim) // its times count from here
	r.provider.ResetStats()
	errs := make([]error, max(s.workers, 1))
	all := make([]*consumer.Consumer, len(errs))
	for i := range all {
		if all[i], err = stage.stormWorker(ctx, s, p, len(all) == 1); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	for i, w := range all {
		group.Go(func() { defer cancel(); errs[i] = w.Run(ctx) })
	}
	r.watch(ctx, all)
	group.Wait()
	return errors.Join(errs...)
}

func (s *stage) stormWorker(ctx context.Context, sc storm, p *openai.Provider, alone bool) (*consumer.Consumer, error) {
	g := policy.GuardConfig{MaxInFlight: stormCeiling, Timeout: sc.timeout, ProbeEvery: sc.probe}
	return consumer.New(ctx, s.js, consumer.Config{
		Accounts: []consumer.Account{{Name: "storm", Provider: p, Guard: g}},
		Queues:   []consumer.Queue{{Name: defaultQueue, Account: "storm"}}, Log: zerolog.Nop(),
		SyncAlways: s.broker.SyncAlways(), Embedded: alone, Grace: 2 * time.Second,
	})
}

// watch keeps the counts of the race until ctx ends.
func (r *race) watch(ctx context.Context, all []*consumer.Consumer) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.look(all)
		}
	}
}

func (r *race) look(all []*consumer.Consumer) {
	answered, held, classes := 0, false, map[policy.Class]int{}
	for _, w := range all {
		s := w.Stats()
		answered += int(s.Answered)
		for class, n := range s.Dead {
			classes[class] += int(n)
		}
		for _, p := range s.Providers {
			held = held || p.Hold != nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered, r.dead, r.classes = answered, 0, classes
	for _, n := range classes {
		r.dead += n
	}
	if held && r.held == 0 {
		r.held = r.provider.Stats().Calls
	}
}
