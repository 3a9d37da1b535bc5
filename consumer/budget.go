package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// ErrNoBudget says that a batch or queue has no limit on what it may use.
var ErrNoBudget = errors.New("no budget")

// ReasonNoPrice is the reason of a pause: a model has no price, and the budget is in money.
const ReasonNoPrice = "no price for a model under a budget in USD"

// budgetPrefix stands before the scope and the name: budget.batch.b1.
const budgetPrefix = "budget."

func budgetKey(scope PauseScope, name string) string {
	return budgetPrefix + string(scope) + "." + name
}

// casTries bounds how often a record is written anew because another worker was first; casWait is
// the pause between, and grows.
const (
	casTries = 50
	casWait  = 2 * time.Millisecond
)

// Budget reads what a batch or a queue may use and has used; ErrNoBudget when it has no limit.
func (s *Store) Budget(ctx context.Context, scope PauseScope, name string) (policy.Budget, error) {
	b, _, err := s.readBudget(ctx, budgetKey(scope, name))
	return b, err
}

func (s *Store) readBudget(ctx context.Context, key string) (b policy.Budget, revision uint64, err error) {
	e, err := s.fleet.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return b, 0, fmt.Errorf("%s: %w", strings.ReplaceAll(strings.TrimPrefix(key, budgetPrefix), ".", " "), ErrNoBudget)
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &b)
	}
	if err != nil {
		return b, 0, fmt.Errorf("read %s: %w", key, err)
	}
	return b, e.Revision(), nil
}

// changeBudget reads a budget, has it changed and writes it, again while others write it too. An
// error of change ends it and nothing is written. Of an error after a write it is not known
// whether that was stored.
func (s *Store) changeBudget(ctx context.Context, key string, change func(*policy.Budget) error) (policy.Budget, error) {
	for try := 1; ; try++ {
		b, revision, err := s.readBudget(ctx, key)
		if err != nil && !errors.Is(err, ErrNoBudget) {
			return b, err
		}
		if err := change(&b); err != nil {
			return b, err
		}
		data, err := json.Marshal(b)
		if err != nil {
			return b, fmt.Errorf("encode %s: %w", key, err)
		}
		_, err = s.fleet.Update(ctx, key, data, revision) // 0: only if there is none
		switch {
		case err == nil:
			return b, nil
		case !errors.Is(err, jetstream.ErrKeyExists) || try == casTries || !sleep(ctx, policy.Jitter(time.Duration(try)*casWait)):
			return b, fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// SetBudget limits what a batch or a queue may use, or moves the limit: a part that is zero stays
// as it is. policy.ErrBelowSpent when it would be below what is spent. It does not lift a pause,
// see Unpause.
func (s *Store) SetBudget(ctx context.Context, scope PauseScope, name string, limit policy.Spend) (policy.Budget, error) {
	return s.changeBudget(ctx, budgetKey(scope, name), func(b *policy.Budget) error { return b.Raise(limit) })
}

// LiftBudget ends the pause that a budget brought about, if there is one.
func (s *Store) LiftBudget(ctx context.Context, scope PauseScope, name string) error {
	all, err := s.Pauses(ctx)
	for _, p := range all {
		if p.Scope == scope && p.Name == name && OfBudget(p) {
			err = s.Unpause(ctx, scope, name)
		}
	}
	if errors.Is(err, ErrNotPaused) { // somebody else was first
		return nil
	}
	return err
}

// OfBudget says whether a budget brought a pause about.
func OfBudget(p Pause) bool { return p.Reason == ReasonBudget || p.Reason == ReasonNoPrice }

// BudgetDead tells, for policy.Budget.Advanced, of the workers that are gone: what they had in
// advance counts as spent.
func (s *Store) BudgetDead(ctx context.Context) (func(worker string, share policy.Share) bool, error) {
	workers, err := s.Workers(ctx)
	alive := map[string]bool{}
	for _, w := range workers {
		alive[w.ID] = true
	}
	return func(worker string, share policy.Share) bool {
		// A worker that has just begun may not have shown a sign of life.
		return !alive[worker] && time.Since(share.At) > 5*beatEvery
	}, err
}
