// Package brokertest gives every test a broker of its own. It takes about 5 ms to start and stop.
package brokertest

import (
	"testing"

	"nightshift/deploy/broker"
)

// New starts a broker on an empty store that is gone when the test ends. It fsyncs so rarely
// that a test never waits for it; for tests of durability there is NewSync.
func New(tb testing.TB) *broker.Broker {
	tb.Helper()
	return NewSync(tb, "1m")
}

// NewSync is New with the given Config.Sync, such as "always".
func NewSync(tb testing.TB, sync string) *broker.Broker {
	tb.Helper()
	b, err := broker.Start(tb.Context(), broker.Config{Dir: tb.TempDir(), Sync: sync})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("close broker: %v", err)
		}
	})
	return b
}
