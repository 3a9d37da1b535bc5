package producer

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is the key-value bucket that holds the manifests of batches.
const Bucket = "BATCHES"

// Errors of manifests.
var (
	ErrNoBatch = errors.New("no such batch")
	// ErrTaken says that another process submits the same batch and has moved its mark.
	ErrTaken = errors.New("another process is submitting this batch")
	// ErrCancelled says that the batch was cancelled.
	ErrCancelled = errors.New("the batch was cancelled")
)

// Batch is the manifest of jobs submitted together.
type Batch struct {
	ID    string `json:"id"`
	Queue string `json:"queue"`
	// File is the base name the jobs came from; for people only.
	File string `json:"file,omitempty"`
	// Total counts the jobs, lines skipped as invalid among them.
	Total int `json:"total"`
	// Invalid counts the lines that were submitted to be dead-lettered as malformed.
	Invalid int `json:"invalid,omitempty"`
	// Published is the mark: how many jobs, in the order of the file, the queue holds or
	// has held. It equals Total once submitting has returned.
	Published int       `json:"published"`
	Created   time.Time `json:"created"`
	Submitted time.Time `json:"submitted,omitzero"`
	// Deadline is that of all its jobs; zero for none.
	Deadline time.Time `json:"deadline,omitzero"`
	// Digest is Report.Digest of the file in hex; empty in manifests of older versions.
	Digest string `json:"digest,omitempty"`
	// Cancelled is when the batch was stopped; zero for one that was not.
	Cancelled time.Time `json:"cancelled_at,omitzero"`
	// Again counts how often a cancelled batch was put back. Its jobs may have ended already,
	// so each is looked up before it is called.
	Again int `json:"again,omitempty"`

	revision uint64
}

// Done says whether the whole batch is on the queue.
func (b Batch) Done() bool { return b.Published >= b.Total }

// Stopped says whether the batch was cancelled: its jobs without an ending will not be called.
func (b Batch) Stopped() bool { return !b.Cancelled.IsZero() }

// BatchID names a batch by what is in it, so that the same file is the same batch, whatever its
// name and whether or not it is compressed. salt holds what else makes the answers differ, such
// as a model that overrides the file's.
func BatchID(digest [32]byte, salt string) string {
	h := sha256.New()
	h.Write(digest[:])
	h.Write([]byte(salt))
	return "b" + strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil))[:12])
}

func createBucket(ctx context.Context, js jetstream.JetStream, c Config) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: Bucket, Description: "manifests of batches", Replicas: max(c.Replicas, 1),
		})
	}
	return kv, wrap(err, "open bucket "+Bucket)
}

// Batch reads the manifest of one batch; ErrNoBatch when there is none.
func (p *Producer) Batch(ctx context.Context, id string) (Batch, error) {
	if !ValidName(id) {
		return Batch{}, fmt.Errorf("%w: %q", ErrNoBatch, id)
	}
	entry, err := p.batches.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Batch{}, fmt.Errorf("%w: %s", ErrNoBatch, id)
	}
	if err != nil {
		return Batch{}, fmt.Errorf("read batch %s: %w", id, err)
	}
	return decodeBatch(entry)
}

// Batches reads all manifests, in no particular order.
func (p *Producer) Batches(ctx context.Context) ([]Batch, error) {
	watch, err := p.batches.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	defer func() { _ = watch.Stop() }()
	var all []Batch
	for entry := range watch.Updates() {
		if entry == nil { // all that is there now has come
			break
		}
		b, err := decodeBatch(entry)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, ctx.Err()
}

func decodeBatch(entry jetstream.KeyValueEntry) (Batch, error) {
	var b Batch
	if err := json.Unmarshal(entry.Value(), &b); err != nil {
		return Batch{}, fmt.Errorf("decode batch %s: %w", entry.Key(), err)
	}
	b.revision = entry.Revision()
	return b, nil
}

// save writes the manifest if nobody else has since it was read.
func (p *Producer) save(ctx context.Context, b *Batch) error {
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode batch %s: %w", b.ID, err)
	}
	var revision uint64
	if b.revision == 0 {
		revision, err = p.batches.Create(ctx, b.ID, data)
	} else {
		revision, err = p.batches.Update(ctx, b.ID, data, b.revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("batch %s: %w", b.ID, ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("write batch %s: %w", b.ID, err)
	}
	b.revision = revision
	return nil
}
