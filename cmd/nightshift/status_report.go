package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift/consumer"
	"nightshift/producer"
)

// queueStatus is what a queue holds and how fast it moves.
type queueStatus struct {
	consumer.QueueState
	// Running and Waiting are the parts of Held.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	// Oldest is when the oldest job was published.
	Oldest time.Time `json:"oldest,omitzero"`
	pace
	// Why says what keeps it from being faster; Unrouted that nothing names it, so that nobody
	// will work it.
	Why      string `json:"why,omitempty"`
	Unrouted bool   `json:"unrouted,omitempty"`
}

// batchStatus is how far a batch is. Ledger is set where it is asked for, or cheap.
type batchStatus struct {
	producer.Batch
	consumer.Tally
	Left   int              `json:"left"`
	Ledger *consumer.Ledger `json:"ledger,omitempty"`
	Budget *budgetReport    `json:"budget,omitempty"`
	pace
}

// pace is the endings a second of the last minute, and how long the rest takes like that.
type pace struct {
	Rate float64 `json:"rate"`
	ETA  float64 `json:"eta_seconds,omitempty"`
}

func newPace(rate float64, left int) pace {
	p := pace{Rate: rate}
	if rate > 0 {
		p.ETA = float64(left) / rate
	}
	return p
}

func (p pace) eta() string {
	if p.ETA == 0 {
		return "-"
	}
	return shortDuration(time.Duration(p.ETA * float64(time.Second)))
}

// paceWindow is over how long the rate is taken.
const paceWindow = time.Minute

// cheapFold is how many endings one look may fold beside its counting, and manyBatches how many
// batches it may do so for: the first answer comes within a second.
const (
	cheapFold   = 20_000
	manyBatches = 20
)

// report gathers the state of everything; of one batch with its details. Queues are read before
// the endings: see consumer.NewTally.
func (a *app) report(ctx context.Context, s *session, batch string) (*statusReport, error) {
	batches, err := s.batches(ctx, batch)
	if err != nil {
		return nil, err
	}
	r := &statusReport{detailed: batch != ""}
	lanes, err := s.store.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	if r.Workers, err = s.store.Workers(ctx); err != nil {
		return nil, err
	}
	if r.Pauses, err = s.store.Pauses(ctx); err != nil {
		return nil, err
	}
	r.Pauses = slices.Concat(r.Pauses, outsideHours(r.Workers))
	holds, err := s.store.Holds(ctx)
	if err != nil {
		return nil, err
	}
	r.Providers = providersOf(r.Workers, holds)
	for i, b := range batches {
		limit := 0
		switch {
		case r.detailed:
		case i < manyBatches:
			limit = cheapFold
		default:
			limit = -1
		}
		one, err := s.batchStatus(ctx, b, laneOf(lanes, b), r.Workers, limit)
		if err != nil {
			return nil, err
		}
		if r.stopped(b) {
			one.ETA = 0
		}
		r.Batches = append(r.Batches, one)
	}
	return r, a.queueStatus(ctx, s, r, lanes)
}

func laneOf(lanes []consumer.LaneState, b producer.Batch) consumer.LaneState {
	i := slices.IndexFunc(lanes, func(l consumer.LaneState) bool { return l.Queue == b.Queue && l.Batch == b.ID })
	if i < 0 {
		return consumer.LaneState{}
	}
	return lanes[i]
}

// foldTime is how long the details of one batch are read; a million endings take several looks.
const foldTime = 600 * time.Millisecond

// batchStatus counts one batch. limit bounds what is folded for it: 0 is as much as time allows, below
// that nothing.
func (s *session) batchStatus(
	ctx context.Context, b producer.Batch, l consumer.LaneState, workers []consumer.Worker, limit int,
) (batchStatus, error) {
	c, err := s.store.Count(ctx, b.ID)
	if err != nil {
		return batchStatus{}, err
	}
	st := batchStatus{Batch: b}
	if st.Budget, err = s.budgetOf(ctx, b.ID); err != nil && !errors.Is(err, consumer.ErrNoBudget) {
		return st, err
	}
	switch {
	case limit == 0:
		st.Ledger, err = s.store.LedgerWithin(ctx, b.ID, foldTime)
	case limit > 0:
		st.Ledger, err = s.store.Ledger(ctx, b.ID, limit)
	}
	if err != nil {
		return st, err
	}
	if st.Ledger != nil && st.Ledger.Unread == 0 {
		c = st.Ledger.Counts()
	}
	st.Tally = consumer.NewTally(b, c, l, consumer.Running(workers, b.Queue, b.ID))
	st.Left = st.Tally.Total - st.Ended()
	if st.Left > 0 && worked(workers, b.Queue) { // else how fast it was says nothing of what is left
		now := time.Now()
		n, err := s.store.CountSince(ctx, b.ID, now.Add(-paceWindow))
		if err != nil {
			return st, err
		}
		st.pace = newPace(float64(n)/min(paceWindow, max(now.Sub(b.Created), time.Second)).Seconds(), st.Left)
	}
	return st, nil
}

// queueStatus completes the report by its queues.
func (a *app) queueStatus(ctx context.Context, s *session, r *statusReport, lanes []consumer.LaneState) error {
	for _, q := range consumer.QueuesOf(lanes) {
		if r.detailed && q.Name != r.Batches[0].Queue {
			continue
		}
		st, rate, known := queueStatus{QueueState: q}, 0.0, true
		for _, l := range lanes {
			if l.Queue != q.Name {
				continue
			}
			st.Running += min(consumer.Running(r.Workers, l.Queue, l.Batch), l.Held)
			oldest, err := s.store.Oldest(ctx, l)
			if err != nil {
				return err
			}
			if st.Oldest.IsZero() || !oldest.IsZero() && oldest.Before(st.Oldest) {
				st.Oldest = oldest
			}
		}
		for _, b := range r.Batches {
			if b.Queue == q.Name {
				rate += b.Rate
				known = known && (b.Left == 0 || b.ETA > 0)
			}
		}
		st.Waiting = q.Held - st.Running
		if st.pace = newPace(rate, q.Queued+q.Held); !known {
			st.ETA = 0
		}
		_, named := a.config.Queues[q.Name]
		st.Unrouted = q.Queued > 0 && !q.Routed && !named && q.Name != defaultQueue && !worked(r.Workers, q.Name) &&
			!slices.ContainsFunc(r.Batches, func(b batchStatus) bool { return b.ID == q.Name })
		if q.Queued+q.Held > 0 {
			st.Why = r.why(st)
		}
		r.Queues = append(r.Queues, st)
	}
	return nil
}

// providerOf is the provider that the workers of a queue ask first.
func (r *statusReport) providerOf(queue string) (provider string) {
	for _, w := range r.Workers {
		provider = firstOf(provider, w.Routes[queue])
	}
	return provider
}

// stopped says whether a pause keeps the jobs of a batch: how fast it was says nothing then.
func (r *statusReport) stopped(b producer.Batch) bool {
	_, queue := r.pauseOf(b.Queue, r.providerOf(b.Queue))
	return queue || slices.ContainsFunc(r.Pauses, func(p consumer.Pause) bool {
		return p.Scope == consumer.PauseBatch && p.Name == b.ID
	})
}

// why says what a queue waits for, the strongest reason first.
func (r *statusReport) why(q queueStatus) string {
	provider := r.providerOf(q.Name)
	if p, ok := r.pauseOf(q.Name, provider); ok {
		return pauseText(p)
	}
	switch {
	case q.Unrouted:
		return "unrouted: no worker pulls from it and no configuration names it"
	case !worked(r.Workers, q.Name):
		return "no worker pulls from it"
	}
	i := slices.IndexFunc(r.Providers, func(p providerStatus) bool { return p.Name == provider })
	if i < 0 {
		return ""
	}
	p := r.Providers[i]
	switch {
	case p.Hold != nil:
		return fmt.Sprintf("provider %s is held: %s", p.Name, classWords(p.Hold.Class))
	case p.State != "open":
		return fmt.Sprintf("%s of provider %s%s", p.State, p.Name, untilText(p.Until))
	case p.Window > 0 && p.InFlight >= p.Window:
		return fmt.Sprintf("the window of provider %s, %d calls, is full", p.Name, p.Window)
	}
	return ""
}

func untilText(t time.Time) string {
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		return ", for " + shortDuration(wait+time.Second/2)
	}
	return ""
}
