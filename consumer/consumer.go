package consumer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"nightshift/policy"
)

// Provider makes one call. It must honour the context, read the whole body before it returns
// and keep prompts, answers and keys out of the errors it puts into the reply.
type Provider interface {
	Call(ctx context.Context, c policy.Call) policy.Reply
}

// Account is a provider with its limits. All queues that name it share one guard.
type Account struct {
	Name     string
	Provider Provider
	Guard    policy.GuardConfig
	// Model is the one it asks whatever the jobs name; "" for the jobs' own.
	Model string
	// Prices are those of its models; what has none costs nobody knows what.
	Prices policy.Prices
}

// Queue is a route of jobs to one account.
type Queue struct {
	// Name is the queue's token in jobs.<queue>.
	Name string
	// Account names the provider the jobs go to.
	Account string
	// Batch, if set, is one whose jobs are about to come; others are found once they have any.
	Batch string
	// Attempts is how many failed calls a job may have before it is dead. Default 5.
	Attempts int
	// Fallbacks are asked in this order where Account fails in a way that they are for.
	Fallbacks []Fallback
	// SlidingWindow shortens chats that are too long for the model: see policy.Edit.
	SlidingWindow bool
	// OnTruncated says what becomes of truncated answers. Default Accept.
	OnTruncated OnTruncated
	// MaxTokensCeiling bounds RetryWithMore, in tokens. Default four times what the job asks for.
	MaxTokensCeiling int
	// MaxTokens limits the answers, in tokens, of requests that set no limit; 0 for none. A request
	// above MaxTokensCeiling, if that is set, is dead without a call.
	MaxTokens int
	// Budget limits what the queue's jobs may use, all that ever were; zero for no limit.
	Budget policy.Spend
	// Priority orders the queues that share an account: while one has jobs, those of lower
	// priority get no slot. Default 0, which may be undercut.
	Priority int
	// Within is how long a job has from its publication where it names no deadline itself; 0 is
	// no limit.
	Within time.Duration
	// Hours is the part of the day in which jobs are pulled; what is in flight then finishes.
	// The zero Hours is all of it.
	Hours policy.Hours
	// Weight is the queue's share among those of the same priority. Default 1.
	Weight int
}

func (q Queue) withDefaults() Queue {
	if q.Attempts == 0 {
		q.Attempts = 5
	}
	q.Weight = max(q.Weight, 1)
	return q
}

// Config of a Consumer. Zero fields mean the documented defaults.
type Config struct {
	Accounts []Account
	Queues   []Queue
	// Worker names this process among the others. Default: a random name.
	Worker string
	// Grace is how long the calls in flight may take to finish after the context of Run
	// has ended. Default 30 s.
	Grace time.Duration
	// AckWait is the lease of a job: how long the broker waits for a sign of life before
	// it gives the job to another worker. Default 30 s, extended every third of it.
	AckWait time.Duration
	// CrashLimit is how often in a row a job may be delivered without any outcome before
	// it is dead-lettered as crash_loop. Default 10.
	CrashLimit int
	// SyncAlways says that the broker fsyncs every write; endings are then stored in atomic
	// batches, one fsync for many.
	SyncAlways bool
	// Embedded says that the broker runs in a process of ours, may be killed with it, and is
	// taken over at each start (see Store.TakeOver). Ended jobs are then removed together and
	// not acked one by one.
	Embedded bool
	// Replicas of the streams on a cluster. Default 1.
	Replicas int
	// Observer is told of calls and jobs as they end. May be nil.
	Observer Observer
	Log      zerolog.Logger
}

func (c Config) withDefaults() Config {
	if c.Worker == "" {
		c.Worker = "w-" + nuid.New().Next()[:8] // of one generator all begin alike
	}
	if c.Grace == 0 {
		c.Grace = 30 * time.Second
	}
	if c.AckWait == 0 {
		c.AckWait = 30 * time.Second
	}
	if c.CrashLimit == 0 {
		c.CrashLimit = 10
	}
	return c
}

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
	w.answer = newCommitter(js, c.SyncAlways)
	w.dead = newCommitter(js, c.SyncAlways)
	w.fleet = &fleet{kv: store.fleet, guards: w.guards, log: c.Log, known: make(chan struct{})}
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
