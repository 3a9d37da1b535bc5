package broker_test

import (
	"bytes"
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

// client waits longer than the library's 5 s: other tests may keep the disk busy.
func client(t *testing.T, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.Conn(), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	js := client(t, b)
	if err := makeStream(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	return js
}

func count(t *testing.T, b *broker.Broker) uint64 {
	t.Helper()
	s, err := client(t, b).Stream(t.Context(), "JOBS")
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
	if _, err := stream(t, b).Publish(t.Context(), "jobs.q", []byte("x")); err != nil {
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
