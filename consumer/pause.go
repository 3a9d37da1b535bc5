package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// PauseScope says what a pause stops.
type PauseScope string

// The scopes of a pause.
const (
	PauseQueue    PauseScope = "queue"
	PauseProvider PauseScope = "provider"
	PauseBatch    PauseScope = "batch"
)

// The reasons of a pause that have a meaning here; any other is for people only.
const (
	// ReasonOperator is a pause by hand.
	ReasonOperator = "operator"
	// ReasonBudget ends by raising the budget.
	ReasonBudget = "budget"
	// ReasonHours ends when the queue's window opens; no such pause is written down.
	ReasonHours = "outside its window"
	// ReasonStart ends at the time that the batch may start.
	ReasonStart = "not before its start"
)

// Pause keeps workers from pulling the jobs of a queue, of a batch, or for a provider. Calls in
// flight finish. It lasts until Until, or without one until it is lifted, and outlives workers
// and brokers.
type Pause struct {
	Scope  PauseScope `json:"scope"`
	Name   string     `json:"name"`
	Since  time.Time  `json:"since"`
	Until  time.Time  `json:"until,omitzero"`
	Reason string     `json:"reason"`
}

// Active says whether it stops anything at a time.
func (p Pause) Active(now time.Time) bool { return p.Until.IsZero() || now.Before(p.Until) }

// ErrNotPaused says that there was no pause to lift.
var ErrNotPaused = errors.New("not paused")

const pausePrefix = "pause."

func pauseKey(scope PauseScope, name string) string { return pausePrefix + string(scope) + "." + name }

// Pause writes the pause down; all workers obey it within a second. It replaces an earlier one
// of the same scope and name.
func (s *Store) Pause(ctx context.Context, p Pause) error {
	if p.Since.IsZero() {
		p.Since = time.Now().UTC()
	}
	data, err := json.Marshal(p)
	if err == nil {
		_, err = s.fleet.Put(ctx, pauseKey(p.Scope, p.Name), data)
	}
	if err != nil {
		return fmt.Errorf("pause %s %s: %w", p.Scope, p.Name, err)
	}
	return nil
}

// Unpause lifts a pause; ErrNotPaused when there is none.
func (s *Store) Unpause(ctx context.Context, scope PauseScope, name string) error {
	key := pauseKey(scope, name)
	_, err := s.fleet.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("%s %s: %w", scope, name, ErrNotPaused)
	}
	if err == nil {
		err = s.fleet.Purge(ctx, key, jetstream.PurgeTTL(time.Hour))
	}
	if err != nil {
		return fmt.Errorf("lift the pause of %s %s: %w", scope, name, err)
	}
	return nil
}

// Pauses lists the pauses that stop something now.
func (s *Store) Pauses(ctx context.Context) ([]Pause, error) {
	all, err := present(ctx, s.fleet, pausePrefix, decodePause)
	active := all[:0]
	for _, p := range all {
		if p.Active(time.Now()) {
			active = append(active, p)
		}
	}
	return active, err
}

func decodePause(e jetstream.KeyValueEntry) (p Pause, err error) {
	if err := json.Unmarshal(e.Value(), &p); err != nil {
		return p, fmt.Errorf("decode pause: %w", err)
	}
	return p, nil
}

// pauses is what a worker knows of them. The zero value knows none.
type pauses struct {
	mu    sync.Mutex
	all   map[string]Pause // by key
	moved chan struct{}    // closed at the next change; nil while nobody waits
}

// set takes in what the bucket says of a key: nil for a pause that was lifted.
func (p *pauses) set(key string, pause *Pause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]Pause{}
	}
	if pause == nil {
		delete(p.all, key)
	} else {
		p.all[key] = *pause
	}
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

func (p *pauses) apply(e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		p.set(e.Key(), nil)
	} else if pause, err := decodePause(e); err == nil {
		p.set(e.Key(), &pause)
	}
}

// of finds the pause that stops a lane, and a channel that is closed when any has changed.
func (p *pauses) of(l *lane) (pause Pause, paused bool, moved <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	now := time.Now()
	for _, key := range []string{
		pauseKey(PauseProvider, l.Account), pauseKey(PauseQueue, l.Name), pauseKey(PauseBatch, l.batch),
	} {
		if found, ok := p.all[key]; ok && found.Active(now) && (!paused || found.Until.IsZero()) {
			pause, paused = found, true
		}
	}
	if open, until := l.Hours.Open(now); !paused && !open {
		return Pause{Scope: PauseQueue, Name: l.Name, Until: until, Reason: ReasonHours}, true, p.moved
	}
	return pause, paused, p.moved
}

// wait returns when the lane is not paused, or the context's error.
func (p *pauses) wait(ctx context.Context, l *lane) error {
	for {
		pause, paused, moved := p.of(l)
		if !paused {
			return ctx.Err()
		}
		var over <-chan time.Time
		if !pause.Until.IsZero() {
			t := time.NewTimer(time.Until(pause.Until))
			defer t.Stop()
			over = t.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-over:
		}
	}
}

// paused says whether the jobs of a lane stay where they are.
func (p *pauses) paused(l *lane) bool {
	_, paused, _ := p.of(l)
	return paused
}

// stopping lists the pauses that keep jobs of this worker's queues where they are.
func (c *Consumer) stopping() []Pause {
	seen := map[string]bool{}
	var all []Pause
	for _, l := range c.lanes.of("") {
		p, paused, _ := c.pauses.of(l)
		key := pauseKey(p.Scope, p.Name)
		if paused && c.lanes.holds(l) && !seen[key] {
			seen[key] = true
			all = append(all, p)
		}
	}
	return all
}
