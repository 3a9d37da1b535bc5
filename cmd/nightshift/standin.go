package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/consumer"
	"nightshift/deploy/broker"
)

// standIn keeps the broker alive for a guest: when the process that owns it goes away, one of
// its guests starts it again on the same store, and the connections of the others find it.
type standIn struct {
	mu     sync.Mutex
	app    *app
	owned  *broker.Broker
	cancel context.CancelFunc
	done   chan struct{}
}

// standBy watches the connection of a guest until close is called.
func (a *app) standBy(ctx context.Context, guest *broker.Broker, c broker.Config) *standIn {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &standIn{app: a, cancel: cancel, done: make(chan struct{})}
	lost := guest.Conn().StatusChanged(nats.RECONNECTING)
	go func() {
		defer close(s.done)
		defer guest.Conn().RemoveStatusListener(lost)
		for {
			select {
			case <-ctx.Done():
				return
			case <-lost:
				s.take(ctx, c)
			}
		}
	}()
	return s
}

// take starts the broker, or finds that another guest was quicker.
func (s *standIn) take(ctx context.Context, c broker.Config) {
	b, err := broker.Start(ctx, c)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			c.Log.Error().Err(err).Msg("the broker is gone and cannot be started here, waiting for it")
		}
	case !b.Owner():
		if err := b.Close(); err != nil {
			c.Log.Warn().Err(err).Msg("closing a spare connection")
		}
	default:
		c.Log.Info().Str("broker", b.URL()).Msg("the process that ran the broker left, it runs here now")
		if err := s.app.takeOver(ctx, b); err != nil {
			c.Log.Warn().Err(err).Msg("what it had in hand waits for its leases")
		}
		s.mu.Lock()
		s.owned = b
		s.mu.Unlock()
	}
}

// close ends the watch and the broker, if it came to run here. The guest's own connection must
// be closed before.
func (s *standIn) close() error {
	if s == nil {
		return nil
	}
	s.cancel()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owned == nil {
		return nil
	}
	return s.owned.Close()
}

// takeOver frees what died with the process that ran the broker before.
func (a *app) takeOver(ctx context.Context, b *broker.Broker) error {
	js, err := jetstream.New(b.Conn())
	if err != nil {
		return err
	}
	store, err := consumer.OpenStore(ctx, js, 1)
	if err != nil {
		return err
	}
	return store.TakeOver(ctx, a.alive)
}

// beatLost is how long a worker that lives may have been unable to say so: as long as its
// broker was away.
const beatLost = time.Minute

// alive says whether a worker of this machine's store still runs. In a container a new process
// may have the number of the one before.
func (a *app) alive(w consumer.Worker) bool {
	if time.Since(w.Beat) > beatLost {
		return false
	}
	if w.PID == os.Getpid() {
		return w.Started.After(a.started)
	}
	p, err := os.FindProcess(w.PID)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}
