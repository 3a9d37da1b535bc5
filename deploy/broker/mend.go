package broker

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// mendEvery is how often an owner looks whether its server still stores.
	mendEvery = time.Second
	// mendRest is how long it leaves a server alone after it has started it again.
	mendRest = 10 * time.Second
)

// mend starts the server again after an error of the disk, until ctx ends: nats-server refuses to
// write to a stream once a write has failed, however much room there is later. Who waits for an
// answer of the broker meanwhile gets none; connections find the new server.
func (b *Broker) mend(ctx context.Context) {
	for sleep(ctx, mendEvery) {
		why := b.broken()
		if why == "" {
			continue
		}
		log := b.config.Log
		log.Error().Str("store", b.dir).Str("reason", why).
			Msg("the store cannot be written, all work waits until it can: is the disk full?")
		for !b.room() {
			if !sleep(ctx, mendEvery) {
				return
			}
		}
		shutdown(b.server())
		for err := b.serve(); err != nil; err = b.serve() {
			log.Error().Err(err).Msg("the broker does not start again, trying on")
			if !sleep(ctx, mendRest) {
				return
			}
		}
		log.Warn().Str("store", b.dir).Msg("the broker was started again, work goes on")
		if !sleep(ctx, mendRest) {
			return
		}
	}
}

// broken says what keeps the server from storing; "" for nothing. Other troubles a start does not
// end.
func (b *Broker) broken() string {
	for _, e := range b.server().Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorJetStream || strings.Contains(e.Error, "write error") {
			return e.Error
		}
	}
	return ""
}

// room says whether a server could start.
func (b *Broker) room() bool {
	free, err := freeSpace(b.dir)
	return err == nil && free >= minFree
}
