package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/producer"
)

// session is an open broker with the streams on it.
type session struct {
	broker   *broker.Broker
	standIn  *standIn // nil unless this is a guest of an embedded broker
	js       jetstream.JetStream
	producer *producer.Producer
	store    *consumer.Store
	replicas int
}

// open starts the embedded broker or connects to the one that runs, or to the configured
// server. Where the process of the one that ran leaves meanwhile, it is started here after all.
func (a *app) open(ctx context.Context) (s *session, err error) {
	err = a.patiently(ctx, func() (guest bool, err error) {
		b, err := a.openBroker(ctx)
		if err != nil {
			return false, err
		}
		guest = b.Dir() != "" && !b.Owner()
		s, err = a.openSession(ctx, b)
		if err == nil && guest {
			s.standIn = a.standBy(ctx, b, a.brokerConfig(b.Dir()))
		}
		return guest, err
	})
	return s, err
}

// patiently does something with the broker again as long as a guest of it is not answered: what
// was on its way to a process that has left is lost.
func (a *app) patiently(ctx context.Context, do func() (guest bool, err error)) error {
	for start := time.Now(); ; {
		guest, err := do()
		if !unanswered(err) || !guest || ctx.Err() != nil || time.Since(start) > brokerPatience {
			return err
		}
	}
}

// unanswered says whether an error may come from a broker that went away.
func unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, nats.ErrDisconnected)
}

// attach is open for commands that only look: they never start a broker. When none runs it
// starts one all the same if there is a store to look at, for the time of the look.
func (a *app) attach(ctx context.Context) (*session, error) {
	dir, err := a.storeDir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); a.natsURL() == "" && errors.Is(err, os.ErrNotExist) {
		return nil, hint(fmt.Errorf("no store at %s", dir), "run or submit something first, or name the store with --store")
	}
	return a.open(ctx)
}

// attached does something with what attach opens, and closes it.
func (a *app) attached(ctx context.Context, do func(*session) error) (err error) {
	s, err := a.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return do(s)
}

func (a *app) natsURL() string { return firstOf(a.flags.natsURL, a.config.NATS.URL) }

func (a *app) openBroker(ctx context.Context) (*broker.Broker, error) {
	if url := a.natsURL(); url != "" {
		n := a.config.NATS
		return broker.Connect(ctx, broker.Remote{
			URL: url, Creds: n.Creds, NKey: n.NKey, Token: os.Getenv(n.TokenEnv), CA: n.CA, Cert: n.Cert, Key: n.Key,
		})
	}
	dir, err := a.storeDir()
	if err != nil {
		return nil, err
	}
	return broker.Start(ctx, a.brokerConfig(dir))
}

func (a *app) brokerConfig(dir string) broker.Config {
	return broker.Config{Dir: dir, Sync: firstOf(a.flags.sync, a.config.Sync), Log: a.log}
}

func (a *app) openSession(ctx context.Context, b *broker.Broker) (*session, error) {
	s := &session{broker: b, replicas: firstOf(a.config.NATS.Replicas, 1)}
	var err error
	if s.js, err = jetstream.New(b.Conn()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	// Half the store for jobs, so that a full queue leaves room for their answers.
	s.producer, err = producer.New(ctx, s.js, producer.Config{MaxBytes: b.MaxStore() / 2, Replicas: s.replicas})
	if err == nil {
		s.store, err = consumer.OpenStore(ctx, s.js, s.replicas)
	}
	if err == nil && b.Owner() {
		err = s.store.TakeOver(ctx, a.alive)
	}
	if errors.Is(err, producer.ErrNewer) {
		err = hint(fmt.Errorf("%s: %w", firstOf(b.Dir(), b.URL()), err), "upgrade this nightshift, or name another store")
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

func (s *session) close() error { return errors.Join(s.broker.Close(), s.standIn.close()) }

// ended is what a resumed submission asks about a job.
func (s *session) ended(ctx context.Context, batch, key string) (bool, error) {
	_, err := s.store.Ending(ctx, batch, key)
	if errors.Is(err, consumer.ErrNoEnding) {
		return false, nil
	}
	return err == nil, err
}

// tallied reads a batch and where its jobs are.
func (s *session) tallied(ctx context.Context, id string) (producer.Batch, consumer.Tally, error) {
	b, err := s.producer.Batch(ctx, id)
	if err != nil {
		return b, consumer.Tally{}, noBatch(err)
	}
	t, err := s.store.Tally(ctx, b)
	return b, t, err
}

// lineLimits is how long a line may be: what the embedded broker takes, or a server elsewhere.
func (a *app) lineLimits(ctx context.Context) (producer.Limits, error) {
	if a.natsURL() == "" {
		return producer.Limits{}, nil
	}
	b, err := a.openBroker(ctx)
	if err != nil {
		return producer.Limits{}, err
	}
	return producer.Limits{MaxLine: int(b.Conn().MaxPayload()) - producer.Headroom}, b.Close()
}
