package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/deploy/broker"
)

// sample runs a server with nats.conf and returns who logs in as the user.
func sample(t *testing.T) func(user string, timeout time.Duration) jetstream.JetStream {
	t.Helper()
	for _, who := range []string{"PRODUCER", "WORKER", "OPERATOR"} {
		t.Setenv("NIGHTSHIFT_"+who, "secret")
	}
	opts, err := server.ProcessConfigFile("nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways || opts.MaxPayload != 8<<20 {
		t.Errorf("sync always %v, max payload %d", opts.SyncAlways, opts.MaxPayload)
	}
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	opts.StoreDir, opts.JetStreamMaxStore, opts.NoSigs = t.TempDir(), 1<<30, true
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	return func(user string, timeout time.Duration) jetstream.JetStream {
		b, err := broker.Connect(t.Context(), broker.Remote{
			URL: "nats://" + user + ":secret@" + srv.Addr().String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		js, err := jetstream.New(b.Conn(), jetstream.WithDefaultTimeout(timeout))
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
}

// Not parallel: the configuration reads the environment.
func TestSampleConfiguration(t *testing.T) {
	const quick = 300 * time.Millisecond
	login := sample(t)
	ctx := t.Context()
	operator := login("operator", time.Minute)
	producer, worker := login("producer", time.Minute), login("worker", time.Minute)
	for _, err := range []error{
		makeStream(ctx, operator),
		makeNamed(ctx, operator, "RESULTS", "results.>"),
		makeNamed(ctx, operator, "DEAD", "dead.>"),
		makeBucket(ctx, operator, "BATCHES"),
		makeBucket(ctx, operator, "FLEET"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"producer submits":         publishTo(ctx, producer, "jobs.q.b"),
		"producer keeps manifests": useBucket(ctx, producer, "BATCHES"),
		"producer finds its place": lastOf(ctx, producer, "JOBS", "jobs.q.b"),
		"worker answers":           publishTo(ctx, worker, "results.b.1"),
		"worker buries":            publishTo(ctx, worker, "dead.b.x.1"),
		"worker shares":            useBucket(ctx, worker, "FLEET"),
		"worker pulls and acks":    pull(ctx, worker, "JOBS"),
		"producer reads answers":   pull(ctx, producer, "RESULTS"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What is not allowed is not answered either.
	producer, worker = login("producer", quick), login("worker", quick)
	for what, err := range map[string]error{
		"producer answers":     publishTo(ctx, producer, "results.b.2"),
		"producer pulls jobs":  pull(ctx, producer, "JOBS"),
		"producer drops DEAD":  producer.DeleteStream(ctx, "DEAD"),
		"worker submits":       publishTo(ctx, worker, "jobs.q.b"),
		"worker drops RESULTS": worker.DeleteStream(ctx, "RESULTS"),
	} {
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("%s: allowed", what)
		}
	}
}
