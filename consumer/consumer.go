package consumer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// Consumer works queues. Make one with New, then call Run once.
type Consumer struct {
	c       Config
	js      jetstream.JetStream
	store   *Store
	fleet   *fleet
	leases  *leases
	answer  *committer // of RESULTS
	dead    *committer // of DEAD
	remove  *remover   // nil where each job is acked by itself
	guards  map[string]*policy.Guard
	queues  []*queue
	lanes   lanes
	pauses  pauses
	budgets budgets
	prices  map[string]policy.Prices // by account
	cancels cancels
	stats   stats
	odd     odd

	unstored unstored

	cell chan struct{}  // holds the one suspect that is being called
	jobs sync.WaitGroup // deliveries under way

	retirement // see Retire
}

// queue is what the pull loop of one queue needs.
type queue struct {
	Queue
	model    string // of the provider; "" for the jobs' own
	provider Provider
	guard    *policy.Guard
	// fallbacks are the routes of Queue.Fallbacks.
	fallbacks []route
	turns     *turns // of the lanes that share the account
	share     share
	// room bounds the jobs pulled and not yet settled, so that a store slower than the
	// provider slows the pulling down.
	room chan struct{}
}

// New opens the streams, making those that are missing, and the durable consumer of each
// queue. JOBS must exist (producer.New makes it).
func New(ctx context.Context, js jetstream.JetStream, c Config) (*Consumer, error) {
	c = c.withDefaults()
	store, err := OpenStore(ctx, js, c.Replicas)
	if err != nil {
		return nil, err
	}
	w := &Consumer{c: c, js: js, store: store, guards: map[string]*policy.Guard{}, cell: make(chan struct{}, 1)}
	w.lanes.open, w.prices = map[string]*lane{}, map[string]policy.Prices{}
	w.leases = newLeases(c.AckWait)
	w.retired = make(chan struct{})
	w.unstored.log = rarely(c.Log)
	w.answer = newCommitter(js, c.SyncAlways)
	w.dead = newCommitter(js, c.SyncAlways)
	w.fleet = &fleet{kv: store.fleet, guards: w.guards, log: c.Log, rare: rarely(c.Log), known: make(chan struct{})}
	w.fleet.heed = w.heedAll()
	if c.Embedded {
		if w.remove, err = newRemover(ctx, js, c.Log); err != nil {
			return nil, fmt.Errorf("open stream JOBS: %w", err)
		}
	}
	turn := map[string]*turns{}
	for _, a := range c.Accounts {
		g := a.Guard
		g.Provider = a.Name
		g.OnHold, g.OnRelease = w.fleet.tellHold, w.fleet.tellRelease
		g.OnGate = func(until time.Time) { w.fleet.tellGate(a.Name, until) }
		w.guards[a.Name] = policy.NewGuard(g)
		turn[a.Name], w.prices[a.Name] = &turns{pulling: map[*lane]bool{}}, a.Prices
	}
	for _, q := range c.Queues {
		own := &queue{Queue: q.withDefaults(), turns: turn[q.Account]}
		if err := own.resolve(c.Accounts, w.guards); err != nil {
			return nil, err
		}
		own.room = make(chan struct{}, 2*own.guard.Ceiling()+256)
		w.queues = append(w.queues, own)
	}
	if err := w.limitQueues(ctx); err != nil {
		return nil, err
	}
	return w, w.openLanes(ctx)
}

// Run pulls and works until ctx ends, then finishes the calls in flight within the grace
// period, hands back the rest and returns when all is settled. The error is nil after a
// shutdown by ctx, and otherwise says why no more jobs can be worked.
func (c *Consumer) Run(ctx context.Context) error {
	// What is in hand outlives ctx by the grace period; what is answered is stored even
	// after that.
	calls, cancelCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelCalls()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	for _, run := range []func(context.Context){c.leases.run, c.answer.run, c.dead.run, c.fleet.run, c.beat, c.learn, c.runRemover, c.settleBudgets} {
		helpers.Go(func() { run(background) })
	}
	pulling, stopPulling := context.WithCancel(ctx)
	defer stopPulling()
	select {
	case <-c.fleet.known:
	case <-ctx.Done():
	case <-c.retired:
	}
	helpers.Go(func() { c.untilRetired(pulling, stopPulling) })
	var failed error
	var pulls, probes sync.WaitGroup
	pulls.Go(func() {
		failed = c.follow(pulling, calls)
		stopPulling()
	})
	probes.Go(func() { c.expire(pulling) }) // it ends before the committers that it needs
	for name := range c.guards {
		if c.serves(name) {
			probes.Go(func() { c.probe(pulling, calls, name) })
		}
	}
	for _, q := range c.queues {
		if len(q.fallbacks) > 0 {
			pulls.Go(func() { c.detour(pulling, calls, q) })
		}
	}
	helpers.Go(func() {
		<-pulling.Done()
		if c.hurried(ctx, background) && sleep(background, c.c.Grace) {
			pulls.Wait() // a pull under way would get what is handed back, again and again
			cancelCalls()
		}
	})
	pulls.Wait()
	stopPulling()
	probes.Wait()
	c.jobs.Wait()
	stopBackground()
	helpers.Wait()
	c.withdraw()
	return failed
}
