package consumer_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// manifest writes down that a batch has a deadline, as submitting does.
func (w *world) manifest(t *testing.T, batch string, total int, deadline time.Time) {
	t.Helper()
	kv, err := w.js.KeyValue(t.Context(), producer.Bucket)
	check(t, err)
	text := fmt.Sprintf(`{"id":%q,"queue":"default","total":%d,"published":%d,"deadline":%q}`,
		batch, total, total, deadline.UTC().Format(time.RFC3339Nano))
	_, err = kv.Put(t.Context(), batch, []byte(text))
	check(t, err)
}

// putDated publishes n jobs that have a deadline.
func (w *world) putDated(t *testing.T, batch string, n int, deadline time.Time) {
	t.Helper()
	for from := 0; from < n; from += producer.MaxAtomic {
		var msgs []*nats.Msg
		for i := from; i < min(n, from+producer.MaxAtomic); i++ {
			m := nats.NewMsg(producer.Subject("default", batch))
			m.Data = []byte(line(fmt.Sprintf("job-%d", i), "x"))
			m.Header.Set(producer.HeaderDeadline, deadline.UTC().Format(time.RFC3339Nano))
			msgs = append(msgs, m)
		}
		check(t, producer.PublishAtomic(t.Context(), w.broker.Conn(), msgs))
	}
}

// held starts workers of a provider that is held, and does not probe.
func (w *world) held(t *testing.T, workers int) []*worker {
	t.Helper()
	fleet, err := w.js.KeyValue(t.Context(), "FLEET")
	check(t, err)
	probe := time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
	since := time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano) // nobody has come since
	_, err = fleet.Put(t.Context(), "hold.acme", fmt.Appendf(nil,
		`{"provider":"acme","class":"auth","since":%q,"probe":%q}`, since, probe))
	check(t, err)
	var all []*worker
	for range workers {
		all = append(all, w.start(t))
	}
	return all
}

// The jobs of a held provider end at their deadline: each once, with its history, and only those.
func TestExpiryWhileHeld(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 3} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			soon := time.Now().Add(time.Second)
			const n = 300
			w.manifest(t, "b", n, soon)
			w.putMany(t, "between", 3, "x") // without a deadline
			w.putDated(t, "b", n, soon)
			w.manifest(t, "tomorrow", 3, time.Now().Add(24*time.Hour))
			w.putDated(t, "tomorrow", 3, time.Now().Add(24*time.Hour))
			w.putDated(t, "", 5, soon) // loose ones
			w.put(t, "", line("later", "x"), producer.HeaderDeadline, time.Now().Add(time.Hour).Format(time.RFC3339))
			w.put(t, "b", "garbage", producer.HeaderDeadline, soon.Format(time.RFC3339Nano))
			history(t, w, "b", "job-7", policy.History{Deliveries: 4, Attempts: []policy.Attempt{{Class: policy.ServerError, Status: 500}}})
			w.held(t, workers)
			got := w.ended(t, "b", n+1)
			w.ended(t, producer.LooseBatch, 5)
			if got.Answered != 0 || got.ByClass[policy.Expired] != n || got.ByClass[policy.Malformed] != 1 {
				t.Errorf("counts %+v", got)
			}
			eventually(t, "only the others are queued", func() bool { return w.jobs(t) == 7 })
			l := w.letter(t, "b", "job-7")
			if l.Class != policy.Expired || l.Deliveries != 4 || len(l.Attempts) != 1 || string(l.Body) != line("job-7", "x") {
				t.Errorf("letter %+v", l)
			}
			if s := w.Stats(); s.Calls != 0 {
				t.Errorf("stats %+v", s)
			}
			q, err := w.store.QueueState(t.Context(), "default")
			check(t, err)
			if q.Queued+q.Held != 7 {
				t.Errorf("queue %+v", q)
			}
		})
	}
}

// A job whose deadline comes later than that of others is ended when its time has come, although
// the queue was looked through before.
func TestLooseJobsExpireOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.held(t, 1)
	for i := range 4 {
		w.put(t, "", line(fmt.Sprintf("job-%d", i), "x"), producer.HeaderDeadline,
			time.Now().Add(time.Duration(3-i)*time.Second).Format(time.RFC3339Nano))
	}
	w.put(t, "", line("kept", "x"))
	w.ended(t, producer.LooseBatch, 4)
	eventually(t, "one is left", func() bool { return w.jobs(t) == 1 })
}

// The job that a worker has in hand is that worker's: it is cut off at the deadline, and its call
// is counted. One with an ending is only taken off the queue.
func TestExpiryLeavesWhatIsInHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hangs=1")
	soon := time.Now().Add(6 * time.Second) // so that a busy machine makes some calls before
	w.manifest(t, "b", 40, soon)
	w.putDated(t, "b", 40, soon)
	w.end(t, "b", "job-39", "answer", `{"call":"another"}`, "{}")
	run := w.start(t, func(c *consumer.Config) { c.Accounts[0].Guard.Start, c.Accounts[0].Guard.MaxInFlight = 4, 4 })
	got := w.ended(t, "b", 40)
	w.drained(t)
	if got.Answered != 1 || got.ByClass[policy.Expired] != 39 {
		t.Errorf("counts %+v", got)
	}
	var calls int
	for _, key := range []string{"job-0", "job-1", "job-2", "job-3"} {
		calls += len(w.letter(t, "b", key).Attempts)
	}
	if made := int(run.Stats().Calls); calls == 0 || made > 5 {
		t.Errorf("%d calls, %d of them in the letters", made, calls)
	}
}

// Many expire together: what is committed is counted in batches, not in jobs.
func TestManyExpireTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n = 5_000 // more than one chunk
	soon := time.Now().Add(100 * time.Millisecond)
	w.manifest(t, "b", n, soon)
	w.putDated(t, "b", n, soon)
	w.putMany(t, "stays", 500, "x")
	w.held(t, 1)
	start := time.Now()
	w.ended(t, "b", n)
	eventually(t, "they are off the queue", func() bool { return w.jobs(t) == 500 })
	t.Logf("%d expired in %v", n, time.Since(start))
	if got := w.counts(t, "b"); got.ByClass[policy.Expired] != n {
		t.Errorf("counts %+v", got)
	}
}

// A queue gives its jobs a time where they bring none, from their publication on, and while it is
// paused too; a job's own deadline goes over it.
func TestWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	check(t, w.store.Pause(t.Context(), consumer.Pause{Scope: consumer.PauseQueue, Name: "default"}))
	w.put(t, "", line("loose", "x"))
	w.put(t, "b", line("of a batch", "x"))
	w.put(t, "", line("dated", "x"), producer.HeaderDeadline, time.Now().Add(time.Hour).Format(time.RFC3339))
	w.start(t, func(c *consumer.Config) { c.Queues[0].Within = 100 * time.Millisecond })
	w.ended(t, "b", 1)
	if l := w.letter(t, producer.LooseBatch, "loose"); l.Class != policy.Expired || w.Stats().Calls != 0 {
		t.Errorf("%d calls, letter %+v", w.Stats().Calls, l)
	}
	check(t, w.store.Unpause(t.Context(), consumer.PauseQueue, "default"))
	if e := w.ending(t, producer.LooseBatch, "dated"); e.Dead {
		t.Errorf("ending %+v", e)
	}
}
