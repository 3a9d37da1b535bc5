package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
)

func (a *app) workCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "work",
		Short: "Pull jobs from queues and work them",
		Long: "work pulls jobs from the configured queues, or those of --queue, until it is\n" +
			"interrupted. Any number of workers, on any number of machines that share a NATS\n" +
			"server, may work a queue.",
		Example: "  nightshift work --drain\n  nightshift work --queue nightly --nats-url nats://queue.example:4222",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.work(cmd.Context()) },
	}
	fs := cmd.Flags()
	a.flags.calling(fs)
	fs.StringVar(&a.flags.queue, "queue", "",
		"`queues` to work, separated by commas (default: the configured ones, or default)")
	fs.BoolVar(&a.flags.drain, "drain", false, "exit when the queues are empty")
	return cmd
}

func (a *app) work(ctx context.Context) (err error) {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	tell, err := a.notifying(ctx, s)
	if err != nil {
		return err
	}
	defer tell()
	queues := a.workQueues()
	w, stop, err := a.newConsumer(ctx, s, queues, "")
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.log.Info().Strs("queues", queues).Str("broker", s.broker.URL()).Msg("working")
	worked := make(chan error, 1)
	go func() { worked <- w.Run(ctx) }()
	err = a.watchWork(ctx, s, w, queues, worked)
	cancel()
	err = errors.Join(err, <-worked)
	a.logStats(w.Stats(), "stopped")
	return err
}

func (a *app) workQueues() []string {
	if a.flags.queue != "" {
		return strings.Split(a.flags.queue, ",")
	}
	if len(a.config.Queues) > 0 {
		return slices.Sorted(maps.Keys(a.config.Queues))
	}
	return []string{defaultQueue}
}

// watchWork reports now and then, and ends when ctx does, the worker fails or, with --drain,
// the queues are empty.
func (a *app) watchWork(
	ctx context.Context, s *session, w *consumer.Consumer, queues []string, worked chan error,
) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	logged, good := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			printf(a.stderr, "stopping: calls in flight have %s to finish; interrupt again to leave now\n", a.flags.grace)
			return nil
		case err := <-worked:
			worked <- nil
			return err
		case <-tick.C:
		}
		if time.Since(logged) >= reportEvery {
			logged = time.Now()
			a.logStats(w.Stats(), "working")
		}
		if !a.flags.drain {
			continue
		}
		empty, err := s.empty(ctx, queues)
		switch {
		case err == nil:
			good = time.Now()
		case time.Since(good) > brokerPatience && ctx.Err() == nil:
			return err
		}
		if empty && ctx.Err() == nil {
			return nil
		}
	}
}

// empty says whether no job is queued or with a worker.
func (s *session) empty(ctx context.Context, queues []string) (bool, error) {
	for _, name := range queues {
		q, err := s.store.QueueState(ctx, name)
		if err != nil || q.Queued+q.Held > 0 {
			return false, err
		}
	}
	return true, nil
}

func (a *app) logStats(s consumer.Stats, msg string) {
	dead := 0
	for _, n := range s.Dead {
		dead += int(n)
	}
	e := a.log.Info().Int64("answered", s.Answered).Int("dead", dead).Int64("calls", s.Calls).Int64("handed_back", s.Later)
	for name, p := range s.Providers {
		if p.Reason != "" {
			e = e.Str("provider", name).Str("waiting_for", p.Reason)
		}
		e = e.Int("in_flight", p.InFlight).Int("window", p.Window)
	}
	e.Msg(msg)
}
