package consumer

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// roster is who else works, told by the signs of life in FLEET. A provider's limits, both
// configured and shown by its headers, are parted among the workers that have it. They stay true
// while a worker comes: it writes its first sign of life, the others see it there, make room, and
// say so in their own ("I have seen all up to this revision, and my calls are within my part");
// then the newcomer begins. So a part may shrink before the others grow, never the other way
// round. A worker that leaves says so; one that is silent for three beats is gone.
type roster struct {
	mu      sync.Mutex
	self    string
	started time.Time
	peers   map[string]peer
	mine    uint64 // the revision of this worker's first sign of life, 0 while it is unknown
	parted  uint64 // the revision up to which the guards have their parts
	newest  uint64 // the revision by which the latest newcomer was met
	told    uint64 // the revision up to which the others were told that there is room
	settled bool   // all that stood in the bucket when the watch began has come
}

// peer is another worker that has an account of ours.
type peer struct {
	accounts []string
	seen     uint64
	heard    time.Time
}

// beatLost is how long a silent worker counts.
const beatLost = 3 * beatEvery

// introduce says who this worker is, before it writes its first sign of life.
func (r *roster) introduce(id string, started time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self, r.started = id, started
	delete(r.peers, id) // one of that name was here before
}

// apply takes in a sign of life. Those that were there at the start are as old as they say;
// later ones are new, whatever the other machine's clock says.
func (r *roster) apply(w *Worker, accounts []string, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.ID == r.self {
		if r.mine == 0 && w.Started.Equal(r.started) {
			r.mine = revision
		}
		return
	}
	if len(accounts) == 0 {
		return
	}
	p := peer{accounts: accounts, seen: w.Seen, heard: time.Now()}
	if !r.settled && w.Beat.Before(p.heard) {
		p.heard = w.Beat
	}
	if _, known := r.peers[w.ID]; !known {
		r.newest = revision
	}
	if r.peers == nil {
		r.peers = map[string]peer{}
	}
	r.peers[w.ID] = p
}

func (r *roster) gone(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, id)
}

// settle says whether all that stood in the bucket has come.
func (r *roster) settle(settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = settled
}

// prune forgets the workers that are gone.
func (r *roster) prune(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		if now.Sub(p.heard) > beatLost {
			delete(r.peers, id)
		}
	}
}

// place is this worker's rank among those of an account, and how many there are.
func (r *roster) place(account string) (rank, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = 1
	for id, p := range r.peers {
		if !slices.Contains(p.accounts, account) {
			continue
		}
		n++
		if cmp.Less(id, r.self) {
			rank++
		}
	}
	return rank, n
}

// welcome says whether this worker is known to all others, which have made room for it.
func (r *roster) welcome() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.settled || r.mine == 0 {
		return false
	}
	for _, p := range r.peers {
		if p.seen < r.mine {
			return false
		}
	}
	return true
}

// owes says whether a newcomer waits for the word that there is room.
func (r *roster) owes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest > r.told && r.settled && r.parted >= r.newest
}

// part notes up to which revision the guards have their parts.
func (r *roster) part(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parted = revision
}

// first says whether this worker is the first by name of those that have an account: what one
// can do for all is its work.
func (r *roster) first(account string) bool {
	rank, _ := r.place(account)
	return rank == 0
}

// part gives the guards their parts. Only the watch calls it.
func (f *fleet) part() {
	f.roster.prune(time.Now())
	for name, g := range f.guards {
		g.Share(f.roster.place(name))
	}
}

// greet begins when the others have made room.
func (f *fleet) greet() {
	if f.roster.welcome() {
		f.begin()
	}
}

func (f *fleet) applyWorker(e jetstream.KeyValueEntry) {
	id := strings.TrimPrefix(e.Key(), workerPrefix)
	if e.Operation() != jetstream.KeyValuePut {
		f.roster.gone(id)
	} else if w, err := decodeWorker(e); err == nil && w.ID == id {
		var common []string
		for name := range w.Providers {
			if f.guards[name] != nil {
				common = append(common, name)
			}
		}
		f.roster.apply(&w, common, e.Revision())
	}
	f.part()
	f.roster.part(e.Revision())
	f.greet()
}

// keeps says whether the calls in flight are within the parts.
func (f *fleet) keeps() bool {
	for _, g := range f.guards {
		if !g.Keeps() {
			return false
		}
	}
	return true
}

// seen is the revision up to which this worker has made room for others.
func (f *fleet) seen() uint64 {
	r := &f.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled && f.keeps() {
		return r.parted
	}
	return r.told
}

// tellWorker writes a sign of life.
func (f *fleet) tellWorker(w *Worker) {
	w.Seen = f.seen()
	if f.tell(workerPrefix+w.ID, w) != nil {
		return
	}
	f.roster.mu.Lock()
	defer f.roster.mu.Unlock()
	f.roster.told = w.Seen
}

// roomCheck is how often a worker that owes a newcomer room looks whether there is.
const roomCheck = 20 * time.Millisecond

// untilBeat waits for the next sign of life: it is due, or a newcomer waits for it.
func (f *fleet) untilBeat(ctx context.Context) bool {
	due := time.NewTimer(beatEvery)
	defer due.Stop()
	check := time.NewTicker(roomCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-check.C:
			if f.roster.owes() && f.keeps() {
				return true
			}
		}
	}
}
