package consumer_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"nightshift/consumer"
)

// A provider that asked to be left alone for a day by mistake is called again when somebody says
// so, by all workers.
func TestResumeOpensTheGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("told", "[[sim:429x1,retry_after=86400]]"))
	first, second := w.start(t), w.start(t)
	shut := func(r *worker) bool { return r.Stats().Providers["acme"].Gate.After(time.Now().Add(time.Hour)) }
	eventually(t, "gates", func() bool { return shut(first) && shut(second) })
	held, wasShut, err := w.store.Resume(t.Context(), "acme")
	if check(t, err); held || !wasShut {
		t.Errorf("held %v, shut %v", held, wasShut)
	}
	eventually(t, "no gates", func() bool { return !shut(first) && !shut(second) })
	w.putMany(t, "b", 40, "x")
	w.ended(t, "b", 40)
	// What has been refused does not wait for the next day.
	h, err := w.store.History(t.Context(), "b", "told")
	if check(t, err); h.Until.After(time.Now().Add(70 * time.Second)) {
		t.Errorf("it waits until %v", h.Until)
	}
	if held, wasShut, err = w.store.Resume(t.Context(), "acme"); held || wasShut || err != nil {
		t.Errorf("held %v, shut %v, %v", held, wasShut, err)
	}
}

// reluctant has no model for a prompt of "missing", and answers the others when it may.
func reluctant(t *testing.T, answer <-chan struct{}) consumer.Provider {
	t.Helper()
	return serving(t, func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "missing") {
			out.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(out, `{"error":{"message":"no","code":"model_not_found"}}`)
			return
		}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		_, _ = fmt.Fprint(out, filler(1))
	})
}

// Some fast 404 at a fresh start hold the provider; the answer to a call that was on its way ends
// that for all workers, and the jobs with the wrong model die of it.
func TestAnswerOnItsWayEndsTheHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	answer := make(chan struct{})
	p := reluctant(t, answer)
	edit := func(c *consumer.Config) { c.Accounts[0].Provider = p }
	w.put(t, "b", line("slow", "x"))
	// The second has none of these jobs: what it knows is what it hears.
	first, second := w.start(t, edit), w.start(t, edit, func(c *consumer.Config) { c.Queues[0].Name = "other" })
	eventually(t, "the slow call", func() bool { return first.Stats().Calls == 1 })
	w.putMany(t, "b", 12, "missing")
	w.hold(t)
	eventually(t, "all know it", func() bool {
		return first.Stats().Providers["acme"].Hold != nil && second.Stats().Providers["acme"].Hold != nil
	})
	close(answer)
	w.healed(t)
	eventually(t, "nobody holds it", func() bool {
		return first.Stats().Providers["acme"].Hold == nil && second.Stats().Providers["acme"].Hold == nil
	})
	if e := w.ending(t, "b", "slow"); e.Dead {
		t.Errorf("ending %+v", e)
	}
	if got := w.ended(t, "b", 13); got.Dead != 12 {
		t.Errorf("counts %+v", got)
	}
}

// One worker has only jobs of a missing model and holds the provider again and again; another hears an
// answer. The first learns from that whose fault it is.
func TestAnswerElsewhereTellsWhoseFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	answer := make(chan struct{})
	p := reluctant(t, answer)
	edit := func(c *consumer.Config) { c.Accounts[0].Provider = p }
	w.put(t, "b", line("slow", "x"))
	first := w.start(t, edit)
	eventually(t, "the slow call", func() bool { return first.Stats().Calls == 1 })
	w.putOn(t, "other", "c", 12, "missing")
	w.start(t, edit, func(c *consumer.Config) { c.Queues[0].Name, c.Queues[0].Batch = "other", "c" })
	w.hold(t)
	eventually(t, "the first knows it", func() bool { return first.Stats().Providers["acme"].Hold != nil })
	close(answer)
	if got := w.ended(t, "c", 12); got.Dead != 12 {
		t.Errorf("counts %+v", got)
	}
	w.healed(t)
}
