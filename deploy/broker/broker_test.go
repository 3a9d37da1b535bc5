package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"nightshift/deploy/broker"
	"nightshift/deploy/broker/brokertest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir, os.Getenv(childDoes)))
	}
	goleak.VerifyTestMain(m)
}

// start starts a broker on dir that the test may close itself.
func start(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: dir, Sync: "1m"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func stream(t *testing.T, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := makeStream(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	return js
}

func makeStream(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:               "JOBS",
		Subjects:           []string{"jobs.>"},
		Retention:          jetstream.WorkQueuePolicy,
		AllowAtomicPublish: true,
	})
	return err
}

func count(t *testing.T, b *broker.Broker) uint64 {
	t.Helper()
	js, err := jetstream.New(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "JOBS")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

type addressFile struct {
	PID   int    `json:"pid"`
	URL   string `json:"url"`
	Token string `json:"token"`
}

func address(t *testing.T, dir string) addressFile {
	t.Helper()
	var a addressFile
	data, err := os.ReadFile(filepath.Join(dir, "broker.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStartOwnsAndSecondAttaches(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "store")
	one, two := start(t, dir), start(t, dir)
	if !one.Owner() || two.Owner() {
		t.Fatalf("owner: first %v, second %v; want the first only", one.Owner(), two.Owner())
	}
	if one.URL() != two.URL() || one.Dir() != two.Dir() || one.MaxStore() != two.MaxStore() {
		t.Errorf("second found %s %s %d, first is %s %s %d", two.URL(), two.Dir(), two.MaxStore(),
			one.URL(), one.Dir(), one.MaxStore())
	}
	if one.MaxStore() <= 0 || one.Conn().MaxPayload() != 8<<20 {
		t.Errorf("max store %d, max payload %d", one.MaxStore(), one.Conn().MaxPayload())
	}
	js := stream(t, one)
	if _, err := js.Publish(t.Context(), "jobs.q", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, two); n != 1 {
		t.Errorf("second sees %d messages, want 1", n)
	}
	for _, b := range []*broker.Broker{one, two} {
		if err := b.Health(); err != nil {
			t.Error(err)
		}
	}
}

func TestFilesAreOursAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := start(t, dir)
	for name, want := range map[string]os.FileMode{".": 0o700, "broker.json": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	if a := address(t, dir); len(a.Token) != 64 || a.PID != os.Getpid() || a.URL != b.URL() {
		t.Errorf("address of process %d at %s with a token of %d", a.PID, a.URL, len(a.Token))
	}
	if strings.Contains(b.URL(), "@") {
		t.Error("URL tells the token")
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	stream(t, b)
	if err := b.Conn().Publish("jobs.q", []byte("not acknowledged")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(filepath.Join(dir, "broker.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("address after Close: %v", err)
	}
	if _, err := broker.Attach(t.Context(), dir); !errors.Is(err, broker.ErrNotRunning) {
		t.Errorf("Attach after Close: %v", err)
	}
	if n := count(t, start(t, dir)); n != 1 {
		t.Errorf("%d messages after a restart, want 1", n)
	}
}

func TestWrongTokenIsRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	token := address(t, b.Dir()).Token
	for name, opt := range map[string]nats.Option{
		"none": nats.Name("n"), "wrong": nats.Token(strings.Repeat("0", 64)),
	} {
		nc, err := nats.Connect(b.URL(), opt)
		if !errors.Is(err, nats.ErrAuthorization) {
			nc.Close()
			t.Errorf("token %s: %v", name, err)
		}
	}
	nc, err := nats.Connect(b.URL(), nats.Token(token))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestAttach(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	if _, err := broker.Attach(t.Context(), dir); !errors.Is(err, broker.ErrNotRunning) {
		t.Fatalf("Attach to nothing: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("Attach made the store")
	}
	start(t, dir)
	b, err := broker.Attach(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Owner() {
		t.Error("attached as owner")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestRaceHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	brokers := make([]*broker.Broker, 20)
	var wg sync.WaitGroup
	for i := range brokers {
		wg.Go(func() {
			b, err := broker.Start(t.Context(), broker.Config{Dir: dir, Sync: "1m"})
			if err != nil {
				t.Error(err)
				return
			}
			brokers[i] = b
			if err := b.Conn().Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	owners := 0
	for _, b := range brokers {
		if b == nil {
			continue
		}
		if b.Owner() {
			owners++
			defer b.Close()
			continue
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if owners != 1 {
		t.Errorf("%d owners, want 1", owners)
	}
}

func TestAttachedFollowsTheNextOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	stream(t, first)
	guest := start(t, dir)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	js, err := jetstream.New(guest.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := js.Publish(ctx, "jobs.q", nil); err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the guest did not find the new owner")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestCloseWhileReconnecting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner, guest := start(t, dir), start(t, dir)
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	for guest.Conn().IsConnected() {
		time.Sleep(time.Millisecond)
	}
	if guest.Health() == nil {
		t.Error("healthy without a server")
	}
	began := time.Now()
	if err := guest.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("Close took %v", d)
	}
}

func TestMakesWhatWeNeed(t *testing.T) {
	t.Parallel()
	b := brokertest.NewSync(t, "always")
	js := stream(t, b)
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "FLEET"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for i, header := range []map[string]string{
		{"Nats-Batch-Sequence": "1"}, {"Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"},
	} {
		m := nats.NewMsg("jobs.q")
		m.Header.Set("Nats-Batch-Id", "b")
		for k, v := range header {
			m.Header.Set(k, v)
		}
		reply, err := b.Conn().RequestMsgWithContext(t.Context(), m)
		if err != nil || bytes.Contains(reply.Data, []byte("error")) {
			t.Fatalf("message %d: %v %s", i, err, reply.Data)
		}
	}
	if n := count(t, b); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// A pull of many large messages is cut off as a slow consumer where the limits are too small.
func TestBurstOfLargeMessages(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	js := stream(t, b)
	const n = 12
	big := make([]byte, 8<<20-1024)
	for range n {
		if _, err := js.Publish(t.Context(), "jobs.q", big); err != nil {
			t.Fatal(err)
		}
	}
	c, err := js.CreateConsumer(t.Context(), "JOBS", jetstream.ConsumerConfig{
		Durable: "w", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	guest, err := broker.Attach(t.Context(), b.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	js, err = jetstream.New(guest.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if c, err = js.Consumer(t.Context(), "JOBS", c.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for m := range batch.Messages() {
		time.Sleep(20 * time.Millisecond)
		got += len(m.Data())
	}
	if got != n*len(big) || batch.Error() != nil {
		t.Errorf("got %d bytes, want %d: %v", got, n*len(big), batch.Error())
	}
}

func TestStartSaysNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b, err := broker.Start(t.Context(), broker.Config{
		Dir: t.TempDir(), Log: zerolog.New(zerolog.SyncWriter(&log)),
	})
	if err != nil {
		t.Fatal(err)
	}
	stream(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
}
