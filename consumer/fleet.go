package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"nightshift/policy"
)

// fleet shares what one worker learns about a provider with the others, through the FLEET
// bucket: holds and gates, what it learned, and that it is there.
type fleet struct {
	kv     jetstream.KeyValue
	guards map[string]*policy.Guard
	log    zerolog.Logger
	rare   zerolog.Logger // for what is tried again and again
	// heed says what follows from an entry, by what its key begins with.
	heed   map[string]func(e jetstream.KeyValueEntry)
	roster roster
	// learned is what stood in the bucket at the start.
	learned map[string]policy.Learned
	// known is closed when the guards know what stood in the bucket at the start, and the
	// other workers know of this one.
	known chan struct{}
	once  sync.Once
}

const (
	holdPrefix   = "hold."
	gatePrefix   = "gate."
	workerPrefix = "worker."
	learnedKey   = "learned."
)

// tellWait bounds one write of shared state.
const tellWait = 5 * time.Second

func (f *fleet) tellHold(h policy.Hold) {
	f.log.Warn().Str("provider", h.Provider).Str("class", string(h.Class)).Int("status", h.Status).
		Str("code", h.Code).Str("owner", h.Owner).Time("next_probe", h.Probe).
		Msg("provider held, every job is kept: " + h.Remedy)
	_ = f.tell(holdPrefix+h.Provider, h)
}

func (f *fleet) tellGate(provider string, until time.Time) {
	f.log.Debug().Str("provider", provider).Time("until", until).Msg("gate shut")
	_ = f.tell(gatePrefix+provider, until)
}

// tell writes shared state; what cannot be told is logged, now and then.
func (f *fleet) tell(key string, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), tellWait)
	defer cancel()
	data, err := json.Marshal(v)
	if err == nil {
		_, err = f.kv.Put(ctx, key, data)
	}
	if err != nil {
		f.rare.Error().Err(err).Str("key", key).Msg("other workers cannot be told")
	}
	return err
}

// run makes the guards obey what other workers wrote, until ctx ends.
func (f *fleet) run(ctx context.Context) {
	defer f.begin()
	for ctx.Err() == nil {
		err := f.watch(ctx)
		if errors.Is(err, nats.ErrConnectionClosed) { // the pulling ends by it too
			return
		}
		if err != nil && ctx.Err() == nil {
			f.log.Warn().Err(err).Msg("cannot watch shared state, trying again")
			sleep(ctx, errorWait)
		}
	}
}

// begin lets the pulling start: before it no hold would be obeyed.
func (f *fleet) begin() { f.once.Do(func() { close(f.known) }) }

func (f *fleet) watch(ctx context.Context) error {
	var patterns []string
	for prefix := range f.heed {
		patterns = append(patterns, prefix+">")
	}
	w, err := f.kv.WatchFiltered(ctx, patterns)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", fleetBucket, err)
	}
	defer func() { _ = w.Stop() }()
	f.roster.settle(false)
	silence := time.NewTicker(beatEvery / 2)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-silence.C:
			f.part()
			f.greet()
		case e, ok := <-w.Updates():
			if !ok {
				return errors.New("watch ended")
			}
			if e == nil { // the present state is complete
				f.settle()
				continue
			}
			f.apply(e)
		}
	}
}

func (f *fleet) apply(e jetstream.KeyValueEntry) {
	for prefix, heed := range f.heed {
		if strings.HasPrefix(e.Key(), prefix) {
			heed(e)
		}
	}
}

// heedAll is what a worker does about what stands in the bucket.
func (c *Consumer) heedAll() map[string]func(jetstream.KeyValueEntry) {
	return map[string]func(jetstream.KeyValueEntry){
		holdPrefix:                c.fleet.applyHold,
		gatePrefix:                c.fleet.applyGate,
		workerPrefix:              c.fleet.applyWorker,
		learnedKey:                c.fleet.applyLearned,
		pausePrefix:               c.pauses.apply,
		cancelPrefix:              c.applyCancel,
		budgetKey(PauseBatch, ""): c.budgets.apply,
	}
}

func (f *fleet) applyHold(e jetstream.KeyValueEntry) {
	guard := f.guards[strings.TrimPrefix(e.Key(), holdPrefix)]
	if guard == nil {
		return
	}
	switch e.Operation() {
	case jetstream.KeyValueDelete:
		guard.Heal()
	case jetstream.KeyValuePurge:
		guard.SetHold(nil)
	default:
		if h, err := decodeHold(e); err == nil {
			guard.SetHold(&h)
		}
	}
}

func (f *fleet) applyGate(e jetstream.KeyValueEntry) {
	guard := f.guards[strings.TrimPrefix(e.Key(), gatePrefix)]
	if guard == nil {
		return
	}
	if e.Operation() != jetstream.KeyValuePut {
		guard.Open()
	} else if until, err := decodeGate(e); err == nil {
		guard.Shut(until)
	}
}

func decodeGate(e jetstream.KeyValueEntry) (until time.Time, err error) {
	if err := json.Unmarshal(e.Value(), &until); err != nil {
		return until, fmt.Errorf("decode gate: %w", err)
	}
	return until, nil
}

func decodeHold(e jetstream.KeyValueEntry) (h policy.Hold, err error) {
	if err := json.Unmarshal(e.Value(), &h); err != nil {
		return h, fmt.Errorf("decode hold: %w", err)
	}
	return h, nil
}

func decodeWorker(e jetstream.KeyValueEntry) (w Worker, err error) {
	if err := json.Unmarshal(e.Value(), &w); err != nil {
		return w, fmt.Errorf("decode worker: %w", err)
	}
	return w, nil
}

// Worker is a sign of life: what a worker is and what it waits for.
type Worker struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Beat    time.Time `json:"beat"`
	Queues  []string  `json:"queues"`
	// Routes names the provider of each queue, Running counts the jobs in hand by lane.
	Routes  map[string]string `json:"routes,omitempty"`
	Running map[string]int    `json:"running,omitempty"`
	// Pauses keep jobs of its queues where they are, those of the hours among them, which only
	// the worker's own configuration knows.
	Pauses    []Pause                 `json:"pauses,omitempty"`
	Calls     int64                   `json:"calls"`
	Answered  int64                   `json:"answered"`
	Providers map[string]policy.State `json:"providers"`
	// Seen is the revision of FLEET up to which it has made room for other workers.
	Seen uint64 `json:"seen"`
}

// beatEvery is how often a worker shows that it lives; one that has not for three times as
// long is taken for gone.
const beatEvery = 2 * time.Second

func (c *Consumer) beat(ctx context.Context) {
	host, _ := os.Hostname() // for people only
	w := Worker{ID: c.c.Worker, Host: host, PID: os.Getpid(), Started: time.Now().UTC(), Routes: map[string]string{}}
	for _, q := range c.queues {
		w.Queues = append(w.Queues, q.Name)
		w.Routes[q.Name] = q.Account
	}
	c.fleet.roster.introduce(w.ID, w.Started)
	for ok := true; ok; ok = c.fleet.untilBeat(ctx) {
		s := c.Stats()
		w.Beat, w.Calls, w.Answered, w.Providers = time.Now().UTC(), s.Calls, s.Answered, s.Providers
		w.Running, w.Pauses = c.leases.running(), s.Pauses
		c.fleet.tellWorker(&w)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellWait)
	defer cancel()
	if err := c.store.fleet.Purge(ctx, workerPrefix+w.ID, jetstream.PurgeTTL(time.Minute)); err != nil {
		c.c.Log.Debug().Err(err).Msg("sign of life stays until it is out of date")
	}
}
