package consumer

import (
	"context"
	"time"

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
