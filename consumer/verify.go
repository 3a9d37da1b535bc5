package consumer

import (
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"

	"nightshift/producer"
)

// Places says where a job of a batch was found, as a set of bits.
type Places uint8

// The places where a job may be found.
const (
	OnQueue  Places = 1 << iota
	Doubled         // on the queue more than once, and not marked to be looked up first
	Answered        // an answer in RESULTS
	Marked          // the marker of a dead letter in RESULTS
	Buried          // the dead letter itself
	seen            // in the input too
)

// Has says whether all of q are among p.
func (p Places) Has(q Places) bool { return p&q == q }

// Ended says whether the job has an ending.
func (p Places) Ended() bool { return p&(Answered|Marked) != 0 }

// Inventory is where each job of a batch was found. It takes about 20 bytes a job: keys are held as
// 64 bits of their hash, so that two of 1,000,000 have the same with a probability of 3e-8.
type Inventory struct {
	seed   maphash.Seed
	places map[uint64]Places
}

// Inventory goes through all that is kept of a batch. The queue comes first: a job that moves on
// meanwhile is then found where it went, unless it is replayed at that moment.
func (s *Store) Inventory(ctx context.Context, b producer.Batch) (*Inventory, error) {
	inv := &Inventory{seed: maphash.MakeSeed(), places: make(map[uint64]Places, b.Total)}
	for j, err := range s.Queued(ctx, b.Queue, b.ID) {
		if err != nil {
			return nil, err
		}
		found := OnQueue
		if inv.at(j.Key).Has(OnQueue) && !j.Look {
			found |= Doubled
		}
		inv.add(j.Key, found)
	}
	for m, err := range scanFrom(ctx, s.results, resultSubject(b.ID, ">"), 1, true) {
		if err != nil {
			return nil, err
		}
		found := Answered
		if m.Headers().Get(headerEnding) == endingDead {
			found = Marked
		}
		inv.add(lastToken(m.Subject()), found)
	}
	for m, err := range scanFrom(ctx, s.dead, "dead."+b.ID+".>", 1, true) {
		if err != nil {
			return nil, err
		}
		inv.add(lastToken(m.Subject()), Buried)
	}
	return inv, nil
}

func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

func (i *Inventory) at(key string) Places { return i.places[maphash.String(i.seed, key)] &^ seen }

func (i *Inventory) add(key string, p Places) { i.places[maphash.String(i.seed, key)] |= p }

// See tells where a job of the input is, none of the places if nowhere.
func (i *Inventory) See(key string) Places {
	p := i.at(key)
	if p != 0 {
		i.add(key, seen)
	}
	return p
}

// Len is how many jobs were found.
func (i *Inventory) Len() int { return len(i.places) }

// All goes through the places of all jobs, in no order.
func (i *Inventory) All() iter.Seq[Places] {
	return func(yield func(Places) bool) {
		for _, p := range i.places {
			if !yield(p &^ seen) {
				return
			}
		}
	}
}

// Orphans is how many jobs were found that See was not asked for, with the keys of the first few
// that have an ending.
func (i *Inventory) Orphans(ctx context.Context, s *Store, batch string, few int) (n int, keys []string, err error) {
	for _, p := range i.places {
		if !p.Has(seen) {
			n++
		}
	}
	if n == 0 {
		return 0, nil, nil
	}
	for m, err := range scanFrom(ctx, s.results, resultSubject(batch, ">"), 1, true) {
		if err != nil {
			return n, keys, err
		}
		key := lastToken(m.Subject())
		if p := i.places[maphash.String(i.seed, key)]; p != 0 && !p.Has(seen) {
			keys = append(keys, key)
		}
		if len(keys) >= min(few, n) {
			break
		}
	}
	return n, keys, nil
}

// QueuedJob is a job that is on a queue. Look says that an ending of it is looked for before it is
// called.
type QueuedJob struct {
	Key  string
	Look bool
}

// Queued goes through the jobs of a batch on its queue.
func (s *Store) Queued(ctx context.Context, queue, batch string) iter.Seq2[QueuedJob, error] {
	return func(yield func(QueuedJob, error) bool) {
		subject := producer.Subject(queue, batch)
		for m, err := range getMany(ctx, s.js, producer.Stream, subject) {
			if err != nil {
				yield(QueuedJob{}, fmt.Errorf("read the queue of %s: %w", batch, err))
				return
			}
			// What is no job has a key too, under which it will be buried.
			j, _ := producer.Decode(subject, m.header, m.data, m.sequence)
			if !yield(QueuedJob{Key: j.Key, Look: m.header.Get(producer.HeaderLook) != ""}, nil) {
				return
			}
		}
	}
}
