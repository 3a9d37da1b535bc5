package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// event is what is sent: what happened and to whom, and never a word of a prompt or an answer.
type event struct {
	ID    string    `json:"id"`
	Event string    `json:"event"`
	At    time.Time `json:"at"`

	Batch string `json:"batch,omitempty"`
	Queue string `json:"queue,omitempty"`
	// Counts are those of a batch that is complete.
	Counts *eventCounts `json:"counts,omitempty"`

	// Of a hold: the provider, what the fault is, and who must do what.
	Provider string       `json:"provider,omitempty"`
	Class    policy.Class `json:"class,omitempty"`
	Status   int          `json:"status,omitempty"`
	Owner    string       `json:"owner,omitempty"`
	Remedy   string       `json:"remedy,omitempty"`

	// Of a budget: why it holds, and how much it is.
	Reason string `json:"reason,omitempty"`
	Limit  *spent `json:"limit,omitempty"`
	Spent  *spent `json:"spent,omitempty"`
}

type eventCounts struct {
	Total     int `json:"total"`
	Answered  int `json:"answered"`
	Dead      int `json:"dead"`
	Cancelled int `json:"cancelled"`
}

// eventID is the same whoever finds out.
func eventID(kind string, parts ...string) string { return kind + "-" + shortHash(parts...) }

// maxPut bounds what is remembered of the events that are in the store.
const maxPut = 10_000

// tell puts an event into the store for all who want it and do not have it yet.
func (n *notifier) tell(ctx context.Context, e event) error {
	if n.put[e.ID] || time.Since(e.At) > notifyFor {
		return nil
	}
	e.At = e.At.UTC()
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	for id, to := range n.told() {
		if !to.wants(e.Event) {
			continue
		}
		err := n.session.store.PutNotice(ctx, &consumer.Notice{Event: e.ID, To: id, At: e.At, Body: body})
		if err != nil && !errors.Is(err, consumer.ErrNoticeTaken) {
			return err
		}
	}
	if len(n.put) > maxPut {
		clear(n.put) // the store knows them still
	}
	n.put[e.ID] = true
	return nil
}

// find puts all that has happened into the store.
func (n *notifier) find(ctx context.Context) error {
	holds, err := n.session.store.Holds(ctx)
	for _, h := range holds {
		err = errors.Join(err, n.tell(ctx, event{
			ID: eventID(eventHold, h.Provider, h.Since.Format(time.RFC3339Nano)), Event: eventHold, At: h.Since,
			Provider: h.Provider, Class: h.Class, Status: h.Status, Owner: h.Owner, Remedy: h.Remedy,
		}))
	}
	if err != nil {
		return err
	}
	if err := n.findBudgets(ctx); err != nil {
		return err
	}
	return n.findComplete(ctx)
}

func (n *notifier) findBudgets(ctx context.Context) error {
	pauses, err := n.session.store.Pauses(ctx)
	if err != nil {
		return err
	}
	for _, p := range pauses {
		e := event{
			ID:    eventID(eventBudget, string(p.Scope), p.Name, p.Since.Format(time.RFC3339Nano)),
			Event: eventBudget, At: p.Since, Reason: p.Reason,
		}
		if !consumer.OfBudget(p) || n.put[e.ID] {
			continue
		}
		if p.Scope == consumer.PauseBatch {
			e.Batch = p.Name
		} else {
			e.Queue = p.Name
		}
		b, err := n.session.store.Budget(ctx, p.Scope, p.Name)
		switch {
		case err == nil:
			limit, used := report(b.Cap, b.Cap.Money > 0), report(b.Used().Spent, b.Cap.Money > 0)
			e.Limit, e.Spent = &limit, &used
		case !errors.Is(err, consumer.ErrNoBudget): // it was lifted in between
			return err
		}
		if err := n.tell(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// findComplete looks at the batches of which a job has ended, or whose manifest has changed. The
// queue is read first: a job that has left it has its ending.
func (n *notifier) findComplete(ctx context.Context) error {
	if err := n.readManifests(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	var open []producer.Batch
	for id := range n.open {
		b, ok := n.manifests[id]
		switch {
		case !ok: // jobs that were not submitted by us have no end
			delete(n.open, id)
		case b.Done() || b.Stopped():
			open = append(open, b)
		}
	}
	n.mu.Unlock()
	if len(open) == 0 {
		return nil
	}
	lanes, err := n.session.store.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, b := range open {
		l := laneOf(lanes, b)
		if l.Queued+l.Held > 0 {
			continue
		}
		// What ends from here on opens it again.
		n.mu.Lock()
		delete(n.open, b.ID)
		n.mu.Unlock()
		if err := n.complete(ctx, b, l); err != nil {
			n.Settled(consumer.Settled{Batch: b.ID})
			return err
		}
	}
	return nil
}

// complete tells of a batch whose jobs have all ended. After a replay it may be complete once more.
func (n *notifier) complete(ctx context.Context, b producer.Batch, l consumer.LaneState) error {
	c, err := n.session.store.Count(ctx, b.ID)
	if err != nil {
		return err
	}
	t := consumer.NewTally(b, c, l, 0)
	if t.Ended() < t.Total || t.Total == 0 {
		return nil
	}
	at, last, err := n.session.store.LastEnding(ctx, b.ID)
	if err != nil && !errors.Is(err, consumer.ErrNoEnding) {
		return err
	}
	if b.Cancelled.After(at) {
		at = b.Cancelled
	}
	return n.tell(ctx, event{
		ID:    eventID(eventComplete, b.ID, strconv.FormatUint(last, 10), strconv.Itoa(b.Again), strconv.FormatBool(b.Stopped())),
		Event: eventComplete, At: at, Batch: b.ID, Queue: b.Queue,
		Counts: &eventCounts{Total: t.Total, Answered: t.Answered, Dead: t.Dead, Cancelled: t.Cancelled},
	})
}

// readManifests opens the batches whose manifest has changed: all at first.
func (n *notifier) readManifests(ctx context.Context) error {
	s, err := n.session.js.Stream(ctx, "KV_"+producer.Bucket)
	if err != nil {
		return fmt.Errorf("look up bucket %s: %w", producer.Bucket, err)
	}
	mark := s.CachedInfo().State.LastSeq
	if mark == n.mark {
		return nil
	}
	all, err := n.session.producer.Batches(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.manifests
	n.manifests = make(map[string]producer.Batch, len(all))
	for _, b := range all {
		if was[b.ID] != b {
			n.open[b.ID] = true
		}
		n.manifests[b.ID] = b
	}
	n.mark = mark
	return nil
}
