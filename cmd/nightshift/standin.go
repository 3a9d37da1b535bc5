package main

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"

	"nightshift/deploy/broker"
)

// standIn keeps the broker alive for a guest: when the process that owns it goes away, one of
// its guests starts it again on the same store, and the connections of the others find it.
type standIn struct {
	mu     sync.Mutex
	owned  *broker.Broker
	cancel context.CancelFunc
	done   chan struct{}
}

// standBy watches the connection of a guest until close is called.
func standBy(ctx context.Context, guest *broker.Broker, c broker.Config) *standIn {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &standIn{cancel: cancel, done: make(chan struct{})}
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
