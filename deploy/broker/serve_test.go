package broker_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"nightshift/deploy/broker"
	"nightshift/deploy/broker/brokertest"
)

// A pull of many large messages is cut off as a slow consumer where the limits are too small.
func TestBurstOfLargeMessages(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	js := stream(t, b)
	const n = 12
	big := make([]byte, 8<<20-1024)
	for range n {
		if _, err := js.Publish(t.Context(), "jobs.q", big); err != nil {
			t.Fatal(err)
		}
	}
	c, err := js.CreateConsumer(t.Context(), "JOBS", jetstream.ConsumerConfig{
		Durable: "w", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	guest, err := broker.Attach(t.Context(), b.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	js = client(t, guest)
	if c, err = js.Consumer(t.Context(), "JOBS", c.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for m := range batch.Messages() {
		time.Sleep(20 * time.Millisecond)
		got += len(m.Data())
	}
	if got != n*len(big) || batch.Error() != nil {
		t.Errorf("got %d bytes, want %d: %v", got, n*len(big), batch.Error())
	}
}

func TestStartSaysNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b, err := broker.Start(t.Context(), broker.Config{
		Dir: t.TempDir(), Log: zerolog.New(zerolog.SyncWriter(&log)),
	})
	if err != nil {
		t.Fatal(err)
	}
	stream(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
}
