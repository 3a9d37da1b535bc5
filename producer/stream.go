package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stream is the name of the stream that holds the jobs not yet ended.
const Stream = "JOBS"

// Headroom is how many bytes a job must leave of the broker's largest message, so that its dead
// letter, which carries its history beside it, fits as well.
const Headroom = 64 << 10

// headerRoom is the part of it that the headers of a job may take.
const headerRoom = 8 << 10

const subjectRoot = "jobs."

// Config says how the streams of jobs and manifests are made when they do not exist yet.
// Existing ones are left as they are: on a shared cluster their limits are the operator's.
type Config struct {
	// MaxBytes bounds JOBS, so that a full queue refuses jobs while results can still be
	// stored; 0 is unlimited.
	MaxBytes int64
	// Replicas of the streams on a cluster; 0 means 1.
	Replicas int
}

// Subject is where the jobs of a queue are published; batch may be empty.
func Subject(queue, batch string) string {
	if batch == "" {
		return subjectRoot + queue
	}
	return subjectRoot + queue + "." + batch
}

func createJobs(ctx context.Context, js jetstream.JetStream, c Config) error {
	found, err := js.Stream(ctx, Stream)
	if err == nil {
		return CheckFormat(found.CachedInfo().Config)
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return wrap(err, "look up stream "+Stream)
	}
	maxBytes := c.MaxBytes
	if maxBytes == 0 {
		maxBytes = -1
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        Stream,
		Description: "jobs not yet ended",
		Subjects:    []string{subjectRoot + ">"},
		Retention:   jetstream.WorkQueuePolicy,
		// A full queue says so to the publisher; the oldest job is never dropped.
		Discard:            jetstream.DiscardNew,
		MaxBytes:           maxBytes,
		MaxMsgSize:         maxMsgSize(js),
		Duplicates:         2 * time.Minute,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Replicas:           max(c.Replicas, 1),
		Metadata:           FormatMetadata(),
	})
	return wrap(err, "create stream "+Stream)
}

// maxMsgSize makes the queue refuse a job whose dead letter would not fit.
func maxMsgSize(js jetstream.JetStream) int32 {
	return int32(max(js.Conn().MaxPayload()-Headroom+headerRoom, 0)) //nolint:gosec // at most 64 MiB
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
