package consumer

import (
	"context"
	"sync"
)

// retirement is how a worker makes room for the next one of its process.
type retirement struct {
	once    sync.Once
	retired chan struct{} // closed by Retire
}

// Retire has Run pull no more. Unlike the end of its context it cuts no call short: Run returns when
// all that are in flight have ended, however long they take. A context that ends meanwhile gives them
// the grace period. Another Consumer may take over at once: it gets its part of the limits as this
// one's calls end.
func (c *Consumer) Retire() { c.once.Do(func() { close(c.retired) }) }

// Ready is closed when the pulling begins: the worker knows what holds, and others have made room.
func (c *Consumer) Ready() <-chan struct{} { return c.fleet.known }

// untilRetired ends the pulling by Retire.
func (c *Consumer) untilRetired(pulling context.Context, stop context.CancelFunc) {
	select {
	case <-c.retired:
		stop()
	case <-pulling.Done():
	}
}

// hurried waits until the calls in flight have only the grace period left: at once, and for a worker
// that was retired when ctx ends. It is false when they ended before.
func (c *Consumer) hurried(ctx, background context.Context) bool {
	select {
	case <-c.retired:
	default:
		return true
	}
	select {
	case <-ctx.Done():
		return true
	case <-background.Done():
		return false
	}
}
