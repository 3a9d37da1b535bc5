package broker_test

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

func makeStream(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:               "JOBS",
		Subjects:           []string{"jobs.>"},
		Retention:          jetstream.WorkQueuePolicy,
		AllowAtomicPublish: true,
		AllowDirect:        true,
	})
	return err
}

func makeNamed(ctx context.Context, js jetstream.JetStream, name, subject string) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}})
	return err
}

func makeBucket(ctx context.Context, js jetstream.JetStream, name string) error {
	_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name})
	return err
}

func publishTo(ctx context.Context, js jetstream.JetStream, subject string) error {
	_, err := js.Publish(ctx, subject, []byte("x"))
	return err
}

func lastOf(ctx context.Context, js jetstream.JetStream, stream, subject string) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	_, err = s.GetLastMsgForSubject(ctx, subject)
	return err
}

func useBucket(ctx context.Context, js jetstream.JetStream, name string) error {
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return err
	}
	if _, err := kv.Create(ctx, "k", []byte("v")); err != nil {
		return err
	}
	if _, err := kv.Get(ctx, "k"); err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	<-w.Updates()
	return w.Stop()
}

func pull(ctx context.Context, js jetstream.JetStream, stream string) error {
	c, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: "test", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	m, err := c.Next()
	if err != nil || stream != "JOBS" {
		return err
	}
	return m.DoubleAck(ctx)
}
