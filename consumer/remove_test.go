package consumer_test

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshift/consumer"
	"nightshift/producer"
)

// A long queue is taken off the stream in runs, with dead letters and slow jobs between them;
// nothing of it stays, and no delivery is left open until its lease runs out.
func TestLongQueueIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "latency=2ms,sigma=1,bad=0.05,seed=3")
	const n = 5_000 // a long queue is one of more than 4096
	w.putMany(t, "b", n, "x")
	run := w.start(t, func(c *consumer.Config) {
		c.Embedded = true
		c.Accounts[0].Guard.Health.Flood = n
		c.Log = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("worker %+v, provider %+v", run.Stats(), w.Stats())
		}
	})
	w.ended(t, "b", n)
	start := time.Now()
	w.drained(t)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the queue was empty only %v after its last job had ended", took)
	}
	cons, err := w.js.Consumer(t.Context(), producer.Stream, "work-default=b")
	check(t, err)
	if info := cons.CachedInfo(); info.NumAckPending+int(info.NumPending) > 0 {
		t.Errorf("%d jobs are open and %d queued", info.NumAckPending, info.NumPending)
	}
}
