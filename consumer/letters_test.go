package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/consumer"
	"nightshift/deploy/broker/brokertest"
	"nightshift/policy"
	"nightshift/producer"
)

func keysOf(letters []consumer.DeadLetter) (keys []string) {
	for _, l := range letters {
		keys = append(keys, l.Key)
	}
	return keys
}

// The conditions combine, and the newest come first.
func TestLettersFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.fill(t, "a", 12)
	w.fill(t, "b", 2)
	later := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name string
		f    consumer.Filter
		want string
	}{
		{"class", consumer.Filter{Batch: "a", Class: policy.BadRequest}, "job-9 job-6 job-3 job-0"},
		{"status", consumer.Filter{Batch: "a", Status: 401}, "job-10 job-7 job-4 job-1"},
		{"model and class", consumer.Filter{Batch: "a", Model: "m0", Class: policy.BadRequest}, "job-6 job-0"},
		{"text", consumer.Filter{Batch: "a", Text: "WORDS 1"}, "job-11 job-10 job-1"},
		{"attempts", consumer.Filter{Batch: "b", Attempts: 2}, "job-1"},
		{"code", consumer.Filter{Code: "other"}, ""},
		{"queue", consumer.Filter{Queue: "other"}, ""},
		{"since", consumer.Filter{Since: later}, ""},
		{"until", consumer.Filter{Batch: "b", Until: later}, "job-1 job-0"},
		{"ids", consumer.Filter{IDs: []string{"a/job-3", "b/job-0"}}, "job-3 job-0"},
		{"discarded", consumer.Filter{Discarded: true}, ""},
	} {
		if got := strings.Join(keysOf(w.letters(t, c.f)), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for _, id := range []string{"a", "a/", "a/b/c", "a/*", "*/x"} {
		for _, err := range w.store.Letters(t.Context(), consumer.Filter{IDs: []string{id}}) {
			if !errors.Is(err, consumer.ErrBadID) {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

// Pages follow each other without a gap, and both orders give the same letters.
func TestLettersPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n = 2500
	w.fill(t, "b", n)
	_, err := w.store.Discard(t.Context(), consumer.Filter{IDs: []string{"b/job-2000"}}, "no use")
	check(t, err)
	var paged []string
	f := consumer.Filter{}
	for {
		page := []consumer.DeadLetter{}
		for l, err := range w.store.Letters(t.Context(), f) {
			check(t, err)
			if page = append(page, l); len(page) == 700 {
				break
			}
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, keysOf(page)...)
		f.Before = page[len(page)-1].Entry
	}
	var oldest []string
	for l, err := range w.store.LettersOldest(t.Context(), consumer.Filter{}) {
		check(t, err)
		if len(l.Body) > 0 || l.Size == 0 {
			t.Fatalf("body %q of %d bytes", l.Body, l.Size)
		}
		oldest = append(oldest, l.Key)
	}
	slices.Reverse(oldest)
	if len(paged) != n-1 {
		t.Errorf("%d letters", len(paged))
	}
	if diff := cmp.Diff(oldest, paged); diff != "" {
		t.Error(diff)
	}
}

// A discarded letter counts as dead, and is none that a replay or a list by default finds.
func TestDiscard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.fill(t, "b", 6)
	got, err := w.store.Discard(t.Context(), consumer.Filter{Class: policy.BadRequest}, "not needed")
	check(t, err)
	want := consumer.Counts{Dead: 6, ByClass: map[policy.Class]int{policy.Timeout: 4, "discarded": 2}}
	if diff := cmp.Diff(want, w.counts(t, "b")); got.Letters != 2 || diff != "" {
		t.Error(got, diff)
	}
	if keys := keysOf(w.letters(t, consumer.Filter{})); len(keys) != 4 {
		t.Errorf("left %v", keys)
	}
	l := w.letters(t, consumer.Filter{Discarded: true})[0]
	if l.Reason != "not needed" || l.Class != policy.BadRequest || l.Discarded.IsZero() || l.Size != 0 {
		t.Errorf("letter %+v", l)
	}
	for _, id := range []string{"b/job-0"} {
		r, err := w.store.Replay(t.Context(), consumer.Filter{IDs: []string{id}}, consumer.Replay{})
		check(t, err)
		if r.Letters != 0 || w.jobs(t) != 0 {
			t.Errorf("%s was replayed", id)
		}
	}
	// Should its job come again, it has ended.
	w.put(t, "b", line("job-0", "x"), producer.HeaderLook, "1")
	w.start(t)
	w.drained(t)
	if c := w.counts(t, "b"); w.Stats().Calls != 0 || c.Dead != 6 {
		t.Errorf("%d calls, counts %+v", w.Stats().Calls, c)
	}
}

func TestEdit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.fill(t, "b", 3)
	one := consumer.Filter{IDs: []string{"b/job-1"}}
	to := func(text string) consumer.Edit {
		return consumer.Edit{Change: func(*consumer.DeadLetter, []byte) ([]byte, error) { return []byte(text), nil }}
	}
	for text, want := range map[string]string{
		`{"custom_id":"other","body":{}}`: "custom_id names the job",
		`{"custom_id":"job-1"}`:           "body is missing",
		`{"custom_id":"job-1","body":`:    "the JSON ends too early",
		line("job-1", strings.Repeat("x", int(w.broker.Conn().MaxPayload())-64<<10)): "too large",
	} {
		_, err := w.store.Edit(t.Context(), one, to(text))
		if _, ok := errors.AsType[*consumer.EditError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	before := w.letter(t, "b", "job-1")
	dry := to(line("job-1", "y"))
	dry.DryRun = true
	for _, e := range []consumer.Edit{dry, to(line("job-1", "y")), to(line("job-1", "z"))} {
		n, err := w.store.Edit(t.Context(), one, e)
		check(t, err)
		if n != 1 {
			t.Errorf("%d edited", n)
		}
	}
	l := w.letter(t, "b", "job-1")
	if string(l.Body) != string(before.Body) || string(l.Edited) != line("job-1", "z") || l.Edits != 2 {
		t.Errorf("letter %+v: %s", l, l.Edited)
	}
	if n := len(w.letters(t, consumer.Filter{})); n != 3 {
		t.Errorf("%d letters", n)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.fill(t, "old", 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for l, err := range w.store.Follow(ctx, consumer.Filter{Class: policy.BadRequest}) {
			if err != nil {
				done <- err
				return
			}
			seen <- l.ID()
		}
	}()
	eventually(t, "it follows", func() bool { return w.stream(t, consumer.DeadStream).CachedInfo().State.Consumers > 0 })
	w.fill(t, "new", 4)
	if got := []string{<-seen, <-seen}; !slices.Equal(got, []string{"new/job-0", "new/job-3"}) {
		t.Errorf("seen %v", got)
	}
	cancel()
	check(t, <-done)
}

// The first page of 100,000.
func BenchmarkLettersFirstPage(b *testing.B) {
	w := benchWorld(b, "1m", 100_000)
	for b.Loop() {
		n := 0
		for _, err := range w.store.Letters(b.Context(), consumer.Filter{}) {
			check(b, err)
			if n++; n == 100 {
				break
			}
		}
	}
}

// The replay of 100,000.
func BenchmarkReplay(b *testing.B) {
	for _, sync := range []string{"1s", "always"} {
		b.Run("sync "+sync, func(b *testing.B) {
			const n = 100_000
			took := time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				w := benchWorld(b, sync, n)
				b.StartTimer()
				start := time.Now()
				_, err := w.store.Replay(b.Context(), consumer.Filter{}, consumer.Replay{})
				check(b, err)
				took += time.Since(start)
			}
			b.ReportMetric(float64(n*b.N)/took.Seconds(), "letters/s")
		})
	}
}

func benchWorld(b *testing.B, sync string, n int) *world {
	b.Helper()
	w := &world{broker: brokertest.NewSync(b, sync)}
	var err error
	w.js = stream(b, w.broker.Conn())
	w.prod, err = producer.New(b.Context(), w.js, producer.Config{})
	check(b, err)
	w.store, err = consumer.OpenStore(b.Context(), w.js, 1)
	check(b, err)
	w.fill(b, "b", n)
	return w
}
