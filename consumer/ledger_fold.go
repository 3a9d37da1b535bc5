package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// Ledger is what a batch came to so far, folded from the endings that stand.
type Ledger struct {
	Answered int                  `json:"answered"`
	Dead     int                  `json:"dead"`
	ByClass  map[policy.Class]int `json:"dead_by_class,omitempty"`
	// Calls counts all calls of the ended jobs, Again those among them that may repeat one
	// whose worker died, Waits the hand-backs for capacity.
	Calls        int `json:"calls"`
	Again        int `json:"again"`
	Waits        int `json:"waits"`
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
	// Cost is what the answers cost, Wasted what calls without one did, as far as there are
	// prices.
	Cost   policy.Money `json:"cost_nano_usd,omitempty"`
	Wasted policy.Money `json:"wasted_nano_usd,omitempty"`
	// Finish counts the answers by finish reason; "" where the provider gave none.
	Finish map[string]int `json:"finish_reasons,omitempty"`
	// Latency counts the answering calls by their time.
	Latency Histogram `json:"latency,omitempty"`
	// Unread is how many endings are not folded yet, for lack of time; the figures are of the others.
	Unread int `json:"unread,omitempty"`
}

// Counts is the part of the ledger that Count tells, exactly as of the markers.
func (l *Ledger) Counts() Counts {
	return Counts{Answered: l.Answered, Dead: l.Dead, ByClass: l.ByClass}
}

func (l *Ledger) add(e Ending) {
	m := e.Meta
	l.Calls += m.Calls
	l.Again += m.Again
	l.Waits += m.Waits
	l.Wasted += m.Wasted
	if m.Cost != nil {
		l.Cost += *m.Cost
	}
	if e.Dead {
		l.Dead++
		l.ByClass[m.Class]++
		return
	}
	l.Answered++
	l.InputTokens += m.InputTokens
	l.OutputTokens += m.OutputTokens
	l.Finish[m.FinishReason]++
	l.Latency.add(time.Duration(m.LatencyMS) * time.Millisecond)
}

// Histogram counts times in buckets that are a tenth wider each than the one before.
type Histogram map[int]int

// perDoubling is how many buckets there are to a factor of two: they are 9 % wide.
const perDoubling = 8

func (h Histogram) add(d time.Duration) {
	h[int(math.Round(perDoubling*math.Log2(float64(max(d.Milliseconds(), 1)))))]++
}

// Quantile is the time that a share q of all does not exceed, to within 5 %; 0 without any.
func (h Histogram) Quantile(q float64) time.Duration {
	total := 0
	for _, n := range h {
		total += n
	}
	rank := int(math.Ceil(q * float64(total)))
	for _, b := range slices.Sorted(maps.Keys(h)) {
		if rank -= h[b]; rank <= 0 {
			return time.Duration(math.Exp2(float64(b)/perDoubling) * float64(time.Millisecond)).Round(time.Millisecond)
		}
	}
	return 0
}

// checkpoint is a ledger up to a sequence of RESULTS, kept in FLEET so that the next reader folds
// only what is new.
type checkpoint struct {
	Sequence uint64 `json:"sequence"`
	Ledger   Ledger `json:"ledger"`
	revision uint64
}

const ledgerPrefix = "ledger."

// saveEvery is how many endings are folded between two checkpoints, so that an interrupted look at
// a large batch is not lost.
const saveEvery = 100_000

func newCheckpoint(revision uint64) *checkpoint {
	return &checkpoint{revision: revision, Ledger: Ledger{
		ByClass: map[policy.Class]int{}, Finish: map[string]int{}, Latency: Histogram{},
	}}
}

// Ledger folds the endings of a batch. Only those are read that came since somebody last asked;
// any number may ask at the same time. Where that is more than limit endings, it is nil and
// nothing is read; a limit of 0 is none.
//
// An answer stays, but the marker of a dead job goes when it is replayed. That is seen by
// counting: when fewer endings stand up to the checkpoint than were folded, all are folded anew.
func (s *Store) Ledger(ctx context.Context, batch string, limit int) (*Ledger, error) {
	cp, err := s.begin(ctx, batch)
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		n, err := countFrom(ctx, s.results, resultSubject(batch, ">"), cp.Sequence+1)
		if err != nil || n > limit {
			return nil, err
		}
	}
	return &cp.Ledger, s.foldOn(ctx, batch, cp, time.Time{})
}

// LedgerWithin is Ledger of as many endings as can be folded within a time. Whoever asks next goes
// on from there.
func (s *Store) LedgerWithin(ctx context.Context, batch string, within time.Duration) (*Ledger, error) {
	until := time.Now().Add(within)
	cp, err := s.begin(ctx, batch)
	if err == nil {
		err = s.foldOn(ctx, batch, cp, until)
	}
	if err != nil {
		return nil, err
	}
	if time.Now().After(until) {
		cp.Ledger.Unread, err = countFrom(ctx, s.results, resultSubject(batch, ">"), cp.Sequence+1)
	}
	return &cp.Ledger, err
}

// begin reads the checkpoint of a batch, or begins anew where it does not hold any more.
func (s *Store) begin(ctx context.Context, batch string) (*checkpoint, error) {
	cp, err := s.checkpoint(ctx, batch)
	if err != nil {
		return nil, err
	}
	standing, err := s.standing(ctx, batch, cp.Sequence)
	if standing < cp.Ledger.Answered+cp.Ledger.Dead {
		cp = newCheckpoint(cp.revision)
	}
	return cp, err
}

// foldOn adds what is new to a checkpoint, until a time if there is one.
func (s *Store) foldOn(ctx context.Context, batch string, cp *checkpoint, until time.Time) error {
	fresh := 0
	for m, err := range scanFrom(ctx, s.results, resultSubject(batch, ">"), cp.Sequence+1, true) {
		if err != nil {
			return err
		}
		e, err := readEnding(m.Subject(), m.Headers(), nil)
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("fold endings of %s: %w", batch, err)
		}
		cp.Ledger.add(e)
		cp.Sequence = meta.Sequence.Stream
		if fresh++; fresh%saveEvery == 0 {
			s.saveCheckpoint(ctx, batch, cp)
		}
		if !until.IsZero() && time.Now().After(until) {
			break
		}
	}
	if fresh > 0 {
		s.saveCheckpoint(ctx, batch, cp)
	}
	return nil
}

// standing counts the endings up to a sequence: all without those after it. Endings that come
// between the two counts would spoil the difference, so what comes after is counted again; where
// they never cease, the last difference is at least what stands.
func (s *Store) standing(ctx context.Context, batch string, sequence uint64) (n int, err error) {
	filter := resultSubject(batch, ">")
	if sequence == 0 {
		return 0, nil
	}
	for range 5 {
		before, err := countFrom(ctx, s.results, filter, sequence+1)
		if err != nil {
			return 0, err
		}
		all, err := count(ctx, s.results, filter)
		if err != nil {
			return 0, err
		}
		after, err := countFrom(ctx, s.results, filter, sequence+1)
		if err != nil || before == after {
			return all - before, err
		}
		n = all - before
	}
	return n, nil
}

func (s *Store) checkpoint(ctx context.Context, batch string) (*checkpoint, error) {
	e, err := s.fleet.Get(ctx, ledgerPrefix+batch)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return newCheckpoint(0), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger of %s: %w", batch, err)
	}
	cp := newCheckpoint(e.Revision())
	if json.Unmarshal(e.Value(), cp) != nil { // of another version: fold anew
		return newCheckpoint(e.Revision()), nil //nolint:nilerr // what is not read is folded again
	}
	return cp, nil
}

// saveWait bounds the writing of a checkpoint. Counts are asked for when the store is in trouble,
// and then it may not be possible.
const saveWait = time.Second

// saveCheckpoint writes it unless somebody else has meanwhile, as theirs is as good, or nobody can:
// it only saves the next reader time.
func (s *Store) saveCheckpoint(ctx context.Context, batch string, cp *checkpoint) {
	ctx, cancel := context.WithTimeout(ctx, saveWait)
	defer cancel()
	data, err := json.Marshal(cp)
	if err != nil {
		return
	}
	if revision, err := s.fleet.Update(ctx, ledgerPrefix+batch, data, cp.revision); err == nil {
		cp.revision = revision
	}
}
