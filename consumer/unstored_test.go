package consumer_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/producer"
)

// An answer is paid for: while the broker is away it waits, for longer than a lease, and is stored
// when there is one again. Nothing is called a second time.
func TestAnswersOutlastTheBroker(t *testing.T) {
	t.Parallel()
	const jobs, lease = 12, time.Second // as many as the window begins with
	dir := t.TempDir()
	owner := ownerOf(t, dir)
	guest, err := broker.Start(t.Context(), broker.Config{Dir: dir, Sync: "1m"})
	check(t, err)
	t.Cleanup(func() { _ = guest.Close() })
	w := &world{js: stream(t, guest.Conn()), broker: guest, url: "http://127.0.0.1:1"} // another is called
	w.prod, err = producer.New(t.Context(), w.js, producer.Config{})
	check(t, err)
	w.store, err = consumer.OpenStore(t.Context(), w.js, 1)
	check(t, err)

	var calls, answered atomic.Int64
	answer := make(chan struct{})
	p := serving(t, func(out http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		calls.Add(1)
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		_, _ = fmt.Fprint(out, filler(1))
		answered.Add(1)
	})
	w.putMany(t, "b", jobs, "x")
	run := w.start(t, func(c *consumer.Config) { c.AckWait, c.Accounts[0].Provider = lease, p })
	eventually(t, "all calls", func() bool { return calls.Load() == jobs })
	check(t, owner.Close())
	eventually(t, "the guest notices", func() bool { return !guest.Conn().IsConnected() })
	close(answer)
	eventually(t, "all answers", func() bool { return answered.Load() == jobs })
	time.Sleep(4 * lease) // that an answer waits longer than this is what it is about

	owner = ownerOf(t, dir)
	w.ended(t, "b", jobs)
	if n := calls.Load(); n != jobs {
		t.Errorf("%d calls of %d jobs", n, jobs)
	}
	run.stop()
	check(t, run.wait(t))
	t.Cleanup(func() { _ = owner.Close() })
}

func ownerOf(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: dir, Sync: "1m"})
	check(t, err)
	if !b.Owner() {
		t.Fatal("no owner")
	}
	return b
}
