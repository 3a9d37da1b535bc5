package consumer_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"nightshift/consumer"
	"nightshift/consumer/provider/openai"
	"nightshift/consumer/provider/sim"
	"nightshift/deploy/broker"
	"nightshift/deploy/broker/brokertest"
	"nightshift/policy"
	"nightshift/producer"
)

// TestMain runs more tests at once than there are processors: most of their time is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	set("test.parallel", "4")
	if !given("rapid.checks") {
		set("rapid.checks", "6") // a history of a batch takes a second
	}
	goleak.VerifyTestMain(m)
}

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		panic(err)
	}
}

func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// world is a broker, a simulated provider and what is needed to look at both.
type world struct {
	*sim.Handler
	broker *broker.Broker
	js     jetstream.JetStream
	prod   *producer.Producer
	store  *consumer.Store
	url    string
}

func newWorld(t *testing.T, spec string) *world {
	t.Helper()
	c, err := sim.Parse(spec)
	check(t, err)
	w := &world{Handler: sim.New(c), broker: brokertest.New(t)}
	server := httptest.NewServer(w.Handler)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.js = stream(t, w.broker.Conn())
	w.prod, err = producer.New(t.Context(), w.js, producer.Config{})
	check(t, err)
	w.store, err = consumer.OpenStore(t.Context(), w.js, 1)
	check(t, err)
	return w
}

func stream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	check(tb, err)
	return js
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// worker is a Consumer that runs.
type worker struct {
	*consumer.Consumer
	stop context.CancelFunc
	done chan error
}

// config is of a worker of queue default that is quick to wait and to try again, and slow to give
// up on what only a busy machine delays.
func (w *world) config(t *testing.T) consumer.Config {
	t.Helper()
	p, err := openai.New(openai.Config{BaseURL: w.url + "/v1"})
	check(t, err)
	t.Cleanup(p.Close)
	return consumer.Config{
		Accounts: []consumer.Account{{Name: "acme", Provider: p, Guard: policy.GuardConfig{
			MaxInFlight: 32, Timeout: patience, RetryDelay: 10 * time.Millisecond,
			ProbeEvery: time.Hour, OutageDelay: 100 * time.Millisecond,
		}}},
		Queues: []consumer.Queue{{Name: "default", Account: "acme", Batch: "b"}},
		Grace:  patience,
	}
}

// start runs a worker until the test ends; edit may change what config gives.
func (w *world) start(t *testing.T, edit ...func(*consumer.Config)) *worker {
	t.Helper()
	return w.startOn(t, w.js, edit...)
}

func (w *world) startOn(t *testing.T, js jetstream.JetStream, edit ...func(*consumer.Config)) *worker {
	t.Helper()
	config := w.config(t)
	for _, e := range edit {
		e(&config)
	}
	c, err := consumer.New(t.Context(), js, config)
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	run := &worker{Consumer: c, stop: cancel, done: make(chan error, 1)}
	go func() { run.done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := run.wait(t); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("Run: %v", err)
		}
	})
	return run
}

// wait gives what Run returned; it may be asked more than once.
func (r *worker) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(patience):
		t.Fatal("Run does not return")
		return nil
	}
}

// eventually waits until ok holds. It looks ever less often: what takes long is not to be slowed
// down by the looking.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	pause := 5 * time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); pause = min(pause*5/4, 100*time.Millisecond) {
		if ok() {
			return
		}
		time.Sleep(pause)
	}
	t.Fatalf("waited %v in vain: %s", patience, what)
}

// ending waits for a job's.
func (w *world) ending(t *testing.T, batch, key string) (e consumer.Ending) {
	t.Helper()
	eventually(t, "ending of "+key, func() bool {
		var err error
		if e, err = w.store.Ending(t.Context(), batch, key); errors.Is(err, consumer.ErrNoEnding) {
			return false
		}
		check(t, err)
		return true
	})
	return e
}

// letter waits for a job's dead letter.
func (w *world) letter(t *testing.T, batch, key string) (l consumer.DeadLetter) {
	t.Helper()
	eventually(t, "dead letter of "+key, func() bool {
		var err error
		if l, err = w.store.DeadLetter(t.Context(), batch, "", key); errors.Is(err, consumer.ErrNoEnding) {
			return false
		}
		check(t, err)
		return true
	})
	return l
}

func (w *world) counts(t *testing.T, batch string) consumer.Counts {
	t.Helper()
	c, err := w.store.CountClasses(t.Context(), batch)
	check(t, err)
	return c
}

// ended waits until so many jobs of a batch have an ending. The patience is for each tenth of
// them: how fast a thousand end is the machine's business.
func (w *world) ended(t *testing.T, batch string, n int) consumer.Counts {
	t.Helper()
	for tenth := range 10 {
		want := n * (tenth + 1) / 10
		eventually(t, fmt.Sprintf("%d endings", want), func() bool { return w.counts(t, batch).Ended() >= want })
	}
	return w.counts(t, batch)
}

// jobs counts what is in JOBS.
func (w *world) jobs(t *testing.T) int {
	t.Helper()
	s, err := w.js.Stream(t.Context(), producer.Stream)
	check(t, err)
	return int(s.CachedInfo().State.Msgs)
}

func (w *world) drained(t *testing.T) {
	t.Helper()
	eventually(t, "JOBS is empty", func() bool { return w.jobs(t) == 0 })
}

// calls of a job, as the provider counted them.
func (w *world) calls(batch, key string) int { return w.Calls()[batch+"/"+key] }

// steal takes a job from the workers' consumer and never settles it, as who died with it.
func (w *world) steal(t *testing.T) jetstream.Msg {
	t.Helper()
	c, err := w.js.Consumer(t.Context(), producer.Stream, "work-default=b")
	check(t, err)
	m, err := c.Next(jetstream.FetchMaxWait(patience))
	check(t, err)
	return m
}
