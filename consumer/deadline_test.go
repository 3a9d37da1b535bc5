package consumer_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// unhurried answers after a time, and not at all where the caller has left by then.
func unhurried(t *testing.T, after time.Duration) func(*consumer.Config) {
	t.Helper()
	p := serving(t, func(out http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before that the server does not see its caller leave
		select {
		case <-r.Context().Done():
		case <-time.After(after):
			_, _ = fmt.Fprint(out, filler(1))
		}
	})
	return func(c *consumer.Config) { c.Accounts[0].Provider = p }
}

func limit(d time.Duration) func(*consumer.Config) {
	return func(c *consumer.Config) { c.Accounts[0].Guard.Timeout = d }
}

// A job that takes longer than the time limit gets more time with every try.
func TestTimeoutGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("j", "x"))
	w.start(t, unhurried(t, 400*time.Millisecond), limit(250*time.Millisecond))
	if e := w.ending(t, "b", "j"); e.Dead || e.Meta.Calls < 3 {
		t.Errorf("ending %+v", e)
	}
}

// No call goes on after the deadline of its job, however much time a call may take.
func TestDeadlineCutsTheCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	deadline := time.Now().Add(2 * time.Second)
	w.put(t, "b", line("j", "x"), producer.HeaderDeadline, deadline.Format(time.RFC3339Nano))
	run := w.start(t, unhurried(t, time.Hour), limit(time.Hour))
	l := w.letter(t, "b", "j")
	if l.Class != policy.Expired || run.Stats().Calls != 1 || len(l.Attempts) != 1 || l.Attempts[0].Class != policy.Timeout {
		t.Errorf("%d calls, letter %+v", run.Stats().Calls, l)
	}
	if l.Last.Before(deadline) {
		t.Errorf("cut off %v before the deadline", time.Until(deadline))
	}
}

// No call is begun that is not likely to end before the deadline.
func TestNoCallWithoutTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	soon := time.Now().Add(900 * time.Millisecond).Format(time.RFC3339Nano)
	w.put(t, "b", line("j", "x"), producer.HeaderDeadline, soon)
	run := w.start(t)
	if l := w.letter(t, "b", "j"); l.Class != policy.Expired || run.Stats().Calls != 0 {
		t.Errorf("%d calls, letter %+v", run.Stats().Calls, l)
	}
}

// safeBuffer may be written by many.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// What the table does not know is told once, by its code and without its words.
func TestUnknownReplyIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	p := serving(t, func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprint(out, `{"error":{"message":"MARKER","code":"tea_is_cold","type":"kettle"}}`)
	})
	log := &safeBuffer{}
	w.putMany(t, "b", 5, "x")
	w.start(t, func(c *consumer.Config) {
		c.Accounts[0].Provider, c.Log = p, zerolog.New(log)
	})
	w.ended(t, "b", 5)
	const want = `"provider":"acme","status":422,"code":"tea_is_cold","type":"kettle","rule":"status 4xx"`
	if s := log.String(); strings.Count(s, "reply not in the table") != 1 || !strings.Contains(s, want) || strings.Contains(s, "MARKER") {
		t.Error(s)
	}
}
