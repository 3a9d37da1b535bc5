package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/deploy/broker"
)

// readOnly is a directory in which even root makes nothing.
func readOnly(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return "/sys"
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	return dir
}

// with makes a directory with one file in it.
func with(t *testing.T, name, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config broker.Config
		want   string
	}{
		"no directory": {broker.Config{}, "choose one with --store"},
		"a file": {
			broker.Config{Dir: filepath.Join(with(t, "f", ""), "f")}, "choose a directory",
		},
		"below a file": {
			broker.Config{Dir: filepath.Join(with(t, "f", ""), "f", "g")}, "choose a directory",
		},
		"not writable": {
			broker.Config{Dir: filepath.Join(readOnly(t), "nightshift")}, "cannot write there",
		},
		"too long": {
			broker.Config{Dir: t.TempDir() + strings.Repeat("/long", 200)}, "at most 768 bytes",
		},
		"a long name": {
			broker.Config{Dir: filepath.Join(t.TempDir(), strings.Repeat("l", 300))}, "at most",
		},
		"another's":  {broker.Config{Dir: with(t, "thesis.txt", "")}, `"thesis.txt"`},
		"newer":      {broker.Config{Dir: with(t, "version", "2\n")}, "upgrade"},
		"no version": {broker.Config{Dir: with(t, "version", "x")}, "is no number"},
		"sync":       {broker.Config{Dir: t.TempDir(), Sync: "often"}, `write "always"`},
		"sync zero":  {broker.Config{Dir: t.TempDir(), Sync: "0s"}, "above zero"},
		"payload":    {broker.Config{Dir: t.TempDir(), MaxPayload: -1}, "above zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := broker.Start(t.Context(), c.config)
			if err == nil {
				_ = b.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestAttachRefusesNewer(t *testing.T) {
	t.Parallel()
	_, err := broker.Attach(t.Context(), with(t, "version", "2\n"))
	if err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("attach: %v", err)
	}
}

func TestEmptyVersionIsNew(t *testing.T) {
	t.Parallel()
	dir := with(t, "version", "")
	start(t, dir)
	if data, err := os.ReadFile(filepath.Join(dir, "version")); string(data) != "1\n" {
		t.Errorf("version %q, %v", data, err)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, c := range map[string]struct{ free, used, want int64 }{
		"empty":            {100 * gib, 0, 90 * gib},
		"half":             {50 * gib, 50 * gib, 90 * gib},
		"others fill disk": {gib, 100 * gib, 100*gib + gib/2},
	} {
		got, err := broker.Limit("d", c.free, c.used)
		if err != nil || got/gib != c.want/gib && c.want-got > gib/100 {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
	}
	if _, err := broker.Limit("d", 63<<20, 0); err == nil || !strings.Contains(err.Error(), "63 MiB") {
		t.Errorf("too little: %v", err)
	}
}

// The server only warns of a stream it cannot read, and a new one would take its place.
func TestUnreadableStreamIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	if _, err := stream(t, b).Publish(t.Context(), "jobs.q", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	meta := filepath.Join(dir, "jetstream", "$G", "streams", "JOBS", "meta.inf")
	good, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(meta, good[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Start(t.Context(), broker.Config{Dir: dir}); err == nil ||
		!strings.Contains(err.Error(), "cannot read stream JOBS") {
		t.Fatalf("start on a broken stream: %v", err)
	}
	if err := os.WriteFile(meta, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := count(t, start(t, dir)); n != 1 {
		t.Errorf("%d messages after repair, want 1", n)
	}
}

func BenchmarkStartClose(b *testing.B) {
	for _, step := range []string{"start", "close"} {
		b.Run(step, func(b *testing.B) {
			var spent time.Duration
			for b.Loop() {
				began := time.Now()
				s, err := broker.Start(b.Context(), broker.Config{Dir: b.TempDir(), Sync: "1m"})
				if err != nil {
					b.Fatal(err)
				}
				if step == "close" {
					began = time.Now()
				}
				up := time.Since(began)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				if step == "close" {
					up = time.Since(began)
				}
				spent += up
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/"+step)
		})
	}
}

// On a disk with less room than before, streams must still be made and changed.
func TestReservedSpaceIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	cfg := jetstream.StreamConfig{Name: "JOBS", Retention: jetstream.WorkQueuePolicy, MaxBytes: b.MaxStore() / 10 * 9}
	if _, err := stream(t, b).UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := broker.Reserved(dir); got != cfg.MaxBytes {
		t.Errorf("reserved %d, want %d", got, cfg.MaxBytes)
	}
}
