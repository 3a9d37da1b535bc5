package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run broker, workers, metrics and webhooks in one lasting process",
		Long: "serve runs the broker and works the configured queues, until SIGTERM or Ctrl-C: calls in\n" +
			"flight then have the time of --grace. SIGHUP reads " + defaultConfigFile + " again: limits, prices,\n" +
			"night windows, keys, queues and notifications change without a job lost or called twice.\n" +
			"A file with an error changes nothing. store, sync, nats and serve need a restart.\n\n" +
			"On the address of --listen it has /healthz (the process lives and the broker answers),\n" +
			"/readyz (it pulls jobs; else 503 and why) and /metrics for Prometheus.",
		Example: "  nightshift serve\n  nightshift serve --listen 127.0.0.1:9464 --store /var/lib/nightshift\n" +
			"  curl -s http://127.0.0.1:9464/metrics\n  kill -HUP $(pidof nightshift)",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context()) },
	}
	fs := cmd.Flags()
	a.flags.calling(fs)
	fs.StringVar(&a.flags.queue, "queue", "", "`queues` to work, separated by commas (default: the configured ones, or default)")
	fs.StringVar(&a.flags.listen, "listen", "", "`address` for health and metrics, or off (default "+defaultListen+")")
	return cmd
}

// server is one process of serve.
type server struct {
	*app
	systemd systemd
	metrics *metrics
	notify  *notifier
	session atomic.Pointer[session] // nil until the broker is open
	ready   atomic.Bool             // it has begun to pull
	leaving atomic.Bool

	mu     sync.Mutex
	shift  *shift // the one that pulls
	all    []*shift
	ended  chan *shift
	shifts sync.WaitGroup
}

// shift is a worker by one configuration. After a reload the one before ends its calls beside it.
type shift struct {
	*consumer.Consumer
	queues []string
	err    error
}

func (a *app) serve(ctx context.Context) (err error) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	v := &server{app: a, systemd: newSystemd(), ended: make(chan *shift, 1)}
	v.metrics = newMetrics(v)
	stopWeb, err := v.listen(ctx)
	if err != nil {
		return err
	}
	defer stopWeb()
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	v.session.Store(s)
	if v.notify, err = newNotifier(a, s); err != nil {
		return err
	}
	a.observer = observers{v.metrics, v.notify}
	tell := v.notify.start(ctx)
	defer tell()
	return v.work(ctx, hangUp)
}

// work runs shifts until ctx ends, or one fails.
func (v *server) work(ctx context.Context, hangUp <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := v.begin(ctx, v.app); err != nil {
		return err
	}
	v.log.Info().Strs("queues", v.shift.queues).Str("broker", v.session.Load().broker.URL()).Msg("working")
	err := v.watch(ctx, hangUp)
	v.leaving.Store(true)
	v.say(v.systemd.tell("STOPPING=1", "STATUS=calls in flight finish"))
	if err == nil {
		printf(v.stderr, "stopping: calls in flight have %s to finish; interrupt again to leave now\n", v.flags.grace)
	}
	cancel()
	v.shifts.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.all {
		if w.err != nil {
			err = errors.Join(err, fmt.Errorf("work: %w", w.err))
		}
	}
	v.logStats(v.shift.Stats(), "stopped")
	return err
}

// watch does what comes up, until ctx ends or the shift that pulls fails.
func (v *server) watch(ctx context.Context, hangUp <-chan os.Signal) error {
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	beat, stop := v.systemd.beats()
	defer stop()
	ready := v.shift.Ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
			ready = nil
			v.ready.Store(true)
			v.say(v.systemd.tell("READY=1", "STATUS=pulling"))
		case <-hangUp:
			v.reload(ctx)
			if !v.ready.Load() {
				ready = v.current().Ready()
			}
		case w := <-v.ended:
			return firstOf(w.err, errors.New("the worker ended early"))
		case <-beat:
			v.say(v.systemd.tell("WATCHDOG=1"))
		case <-report.C:
			v.logStats(v.current().Stats(), "working")
		}
	}
}

// begin has a worker by a configuration take over from the one before, which ends its calls. While
// both run they part the limits between them.
func (v *server) begin(ctx context.Context, a *app) error {
	queues := a.workQueues()
	w, stop, err := a.newConsumer(ctx, v.session.Load(), queues, "")
	if err != nil {
		return err
	}
	next := &shift{Consumer: w, queues: queues}
	v.mu.Lock()
	before := v.shift
	if before != nil {
		v.metrics.retire(before.Stats())
	}
	v.shift, v.all = next, append(v.all, next)
	v.mu.Unlock()
	v.shifts.Go(func() {
		defer stop()
		next.err = w.Run(ctx)
		v.over(ctx, next)
	})
	if before != nil {
		before.Retire()
	}
	return nil
}

// over notes the end of a shift. Of the one that pulls it is an error, but at the end of all.
func (v *server) over(ctx context.Context, w *shift) {
	v.mu.Lock()
	pulled := v.shift == w
	if !pulled && w.err == nil {
		v.all = slices.DeleteFunc(v.all, func(o *shift) bool { return o == w })
		v.metrics.leasesLost += w.Stats().LeasesLost
	}
	v.mu.Unlock()
	if pulled && ctx.Err() == nil {
		v.ended <- w
	}
}

func (v *server) current() *shift {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shift
}

// counted is what the shift that pulls counts, and what all of them together do.
func (v *server) counted() (now consumer.Stats, leasesLost int64, gateShut map[string]time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	leasesLost, gateShut = v.metrics.leasesLost, maps.Clone(v.metrics.gateShut)
	for _, w := range v.all {
		s := w.Stats()
		leasesLost += s.LeasesLost
		if w == v.shift {
			now = s
		}
	}
	for name, p := range now.Providers {
		gateShut[name] += p.Shut
	}
	return now, leasesLost, gateShut
}

// say logs that the service manager does not listen. It is no reason to stop working.
func (v *server) say(err error) {
	if err != nil {
		v.log.Warn().Err(err).Msg("the service manager cannot be told")
	}
}

// observers pass on what they are told.
type observers []consumer.Observer
