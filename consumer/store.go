package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// The streams and buckets of this package.
const (
	ResultsStream = "RESULTS"
	DeadStream    = "DEAD"
	historyBucket = "HISTORY"
	fleetBucket   = "FLEET"
)

// resultAge is how long endings are kept.
const resultAge = 30 * 24 * time.Hour

// Store gives access to what workers leave behind: endings, dead letters, histories. It is
// safe for concurrent use.
type Store struct {
	js      jetstream.JetStream
	results jetstream.Stream
	dead    jetstream.Stream
	history jetstream.KeyValue
	fleet   jetstream.KeyValue
}

// OpenStore opens the streams and makes those that are missing; existing ones are left as
// they are. replicas below 1 mean 1. The error is a [producer.ErrNewer] where a newer program made
// them.
func OpenStore(ctx context.Context, js jetstream.JetStream, replicas int) (*Store, error) {
	s := &Store{js: js}
	replicas = max(replicas, 1)
	var err error
	if s.results, err = openStream(ctx, js, resultsConfig(replicas)); err != nil {
		return nil, err
	}
	if s.dead, err = openStream(ctx, js, deadConfig(replicas)); err != nil {
		return nil, err
	}
	if s.history, err = openBucket(ctx, js, jetstream.KeyValueConfig{
		Bucket: historyBucket, Description: "attempts of jobs that had any", Replicas: replicas,
		TTL: resultAge, LimitMarkerTTL: time.Hour,
	}); err != nil {
		return nil, err
	}
	s.fleet, err = openBucket(ctx, js, jetstream.KeyValueConfig{
		Bucket: fleetBucket, Description: "what workers share about providers", Replicas: replicas,
		LimitMarkerTTL: time.Hour,
	})
	return s, err
}

func openStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c.Metadata = producer.FormatMetadata()
		s, err = js.CreateStream(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", c.Name, err)
	}
	return s, producer.CheckFormat(s.CachedInfo().Config)
}

func openBucket(ctx context.Context, js jetstream.JetStream, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, c.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", c.Bucket, err)
	}
	return kv, nil
}
