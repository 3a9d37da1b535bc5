package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

func historyKey(batch, key string) string { return batch + "." + key }

// History reads what happened to a job that has not ended; empty for one that met no trouble.
func (s *Store) History(ctx context.Context, batch, key string) (policy.History, error) {
	var h policy.History
	e, err := s.history.Get(ctx, historyKey(batch, key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("read history of %s: %w", key, err)
	}
	if err := json.Unmarshal(e.Value(), &h); err != nil {
		return h, fmt.Errorf("decode history of %s: %w", key, err)
	}
	return h, nil
}

func (s *Store) putHistory(ctx context.Context, batch, key string, h policy.History) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode history of %s: %w", key, err)
	}
	if _, err := s.history.Put(ctx, historyKey(batch, key), data); err != nil {
		return fmt.Errorf("write history of %s: %w", key, err)
	}
	return nil
}

func (s *Store) dropHistory(ctx context.Context, batch, key string) error {
	return s.history.Purge(ctx, historyKey(batch, key), jetstream.PurgeTTL(resultAge/30))
}
