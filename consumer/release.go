package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// tellRelease takes back a hold that an answer has disproved, unless another has begun since.
func (f *fleet) tellRelease(wrong policy.Hold) {
	ctx, cancel := context.WithTimeout(context.Background(), tellWait)
	defer cancel()
	f.log.Info().Str("provider", wrong.Provider).Str("class", string(wrong.Class)).
		Msg("provider released: it has answered since")
	e, err := f.kv.Get(ctx, holdPrefix+wrong.Provider)
	if errors.Is(err, jetstream.ErrKeyNotFound) { // released, or not told yet: then the watch brings it, and it ends here again
		return
	}
	var h policy.Hold
	if err == nil {
		h, err = decodeHold(e)
	}
	if err == nil && h.Since.Equal(wrong.Since) {
		err = f.kv.Delete(ctx, holdPrefix+wrong.Provider, jetstream.LastRevision(e.Revision()))
	}
	if err != nil {
		f.log.Warn().Err(err).Str("provider", wrong.Provider).Msg("the hold stays until a probe ends it")
	}
}

// Resume lets workers call a provider at once: it ends a hold, and opens a gate that is shut
// because the provider asked to be left alone for longer. It tells which of them there were.
func (s *Store) Resume(ctx context.Context, account string) (held, shut bool, err error) {
	if shut, err = s.openGate(ctx, account); err != nil {
		return false, shut, err
	}
	_, err = s.fleet.Get(ctx, holdPrefix+account)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, shut, nil
	}
	if err != nil {
		return false, shut, fmt.Errorf("look for the hold of provider %s: %w", account, err)
	}
	return true, shut, s.Release(ctx, account)
}

func (s *Store) openGate(ctx context.Context, account string) (shut bool, err error) {
	e, err := s.fleet.Get(ctx, gatePrefix+account)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err == nil {
		err = s.fleet.Purge(ctx, gatePrefix+account, jetstream.PurgeTTL(time.Hour))
	}
	if err != nil {
		return false, fmt.Errorf("open the gate of provider %s: %w", account, err)
	}
	until, bad := decodeGate(e)
	return bad == nil && until.After(time.Now()), nil
}

// longestRest is how long a job waits at most for a provider that is to be left alone. Nobody
// pulls before the gate opens, however early the job is back; but somebody may open it by hand,
// and it must not wait for the end of a day then.
const longestRest = time.Minute
