package consumer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/consumer/provider/openai"
	"nightshift/policy"
)

// aside gives the queue of a worker another world's provider as a fallback, with a model of its own.
func aside(t *testing.T, other *world, f policy.Fallback) func(*consumer.Config) {
	t.Helper()
	return func(c *consumer.Config) {
		p, err := openai.New(openai.Config{BaseURL: other.url + "/v1", Model: "big"})
		check(t, err)
		t.Cleanup(p.Close)
		a := other.config(t).Accounts[0]
		a.Name, a.Provider, a.Model = "other/big", p, "big"
		c.Accounts = append(c.Accounts, a)
		c.Queues[0].Fallbacks = append(c.Queues[0].Fallbacks, consumer.Fallback{Account: a.Name, Fallback: f})
	}
}

func on(reasons ...policy.Reason) policy.Fallback { return policy.Fallback{On: reasons} }

func once(c *consumer.Config) { c.Accounts[0].Guard.Tries = 1 }

// byOther checks that a job was answered by the fallback, and that this is on record.
func byOther(t *testing.T, e consumer.Ending) {
	t.Helper()
	m := e.Meta
	if e.Dead || m.Provider != "other" || m.Model != "big" || !m.Fallback || !strings.Contains(string(e.Line), `"model":"big"`) {
		t.Errorf("ending %+v: %s", m, e.Line)
	}
}

// What one provider refuses for good is put to the other, with one call each.
func TestFallbackOnRefusal(t *testing.T) {
	t.Parallel()
	for marker, reason := range map[string]policy.Reason{
		"context_length_exceeded": policy.ForOverflow, "content_policy_violation": policy.ForFilter,
	} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			w, other := newWorld(t, "fault="+marker), newWorld(t, "")
			w.put(t, "b", line("j", "x"))
			run := w.start(t, aside(t, other, on(reason)))
			e := w.ending(t, "b", "j")
			byOther(t, e)
			if w.calls("b", "j") != 1 || other.calls("b", "j") != 1 || e.Meta.Calls != 2 {
				t.Errorf("%d and %d calls, %+v", w.calls("b", "j"), other.calls("b", "j"), e.Meta)
			}
			w.drained(t)
			if s := run.Stats(); s.Fallback != 1 || s.Answered != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A fallback is used for what it names and nothing else.
func TestFallbackOnlyForWhatItNames(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, ""), newWorld(t, "")
	for _, marker := range []string{"content_policy_violation", "string_above_max_length"} {
		w.put(t, "b", line(marker, "[[sim:"+marker+"]]"))
	}
	w.start(t, aside(t, other, policy.Fallback{}))
	if l := w.letter(t, "b", "content_policy_violation"); l.Class != policy.ContentFiltered {
		t.Errorf("letter %+v", l)
	}
	if l := w.letter(t, "b", "string_above_max_length"); l.Class != policy.BadRequest {
		t.Errorf("letter %+v", l)
	}
	if n := other.Stats().Calls; n != 0 {
		t.Errorf("%d calls of the fallback", n)
	}
}

// An outage goes to the fallback: first the jobs that met it, then the queue, which nobody pulls for
// a provider whose breaker is open. The attempts tell who failed.
func TestFallbackOnOutage(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "errors=1"), newWorld(t, "")
	const n = 200
	w.putMany(t, "b", n, "x")
	run := w.start(t, once, aside(t, other, policy.Fallback{}), func(c *consumer.Config) {
		c.Accounts[0].Guard.OutageDelay = time.Hour
		c.Accounts[0].Guard.Health.Row = 10_000
	})
	if got := w.ended(t, "b", n); got.Dead != 0 || got.Answered != n {
		t.Errorf("counts %+v", got)
	}
	w.drained(t)
	if s, o := w.Stats(), other.Stats(); s.Calls > 100 || o.Calls != n {
		t.Errorf("%d calls, and %d of the fallback", s.Calls, o.Calls)
	}
	for i := range n {
		byOther(t, w.ending(t, "b", fmt.Sprintf("job-%d", i)))
	}
	eventually(t, "no slot is lost", func() bool {
		s := run.Stats()
		return s.Providers["acme"].InFlight == 0 && s.Providers["other/big"].InFlight == 0 && s.Fallback == n
	})
}

// A full provider is no outage: only a job that was refused before goes on.
func TestFallbackOnOverload(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "fault=overloaded_error"), newWorld(t, "")
	w.put(t, "b", line("j", "x"))
	w.start(t, aside(t, other, policy.Fallback{}))
	e := w.ending(t, "b", "j")
	byOther(t, e)
	if w.calls("b", "j") != 2 || e.Meta.Waits != 1 {
		t.Errorf("%d calls, %+v", w.calls("b", "j"), e.Meta)
	}
}

// A rate limit goes to the fallback when it keeps the job beyond the time that is set, also those jobs
// that nobody would pull before the gate opens.
func TestFallbackOnRateLimit(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "closed=1h"), newWorld(t, "")
	const n = 60
	w.putMany(t, "b", n, "x")
	w.start(t, few, aside(t, other, policy.Fallback{On: []policy.Reason{policy.ForRate}, After: time.Minute}))
	if got := w.ended(t, "b", n); got.Answered != n {
		t.Errorf("counts %+v", got)
	}
	if s := w.Stats(); s.Calls > 4 || s.Early > 0 {
		t.Errorf("stats %+v", s)
	}
	w.drained(t)
}

func TestNoFallbackBeforeItsTime(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "closed=1m"), newWorld(t, "")
	w.put(t, "b", line("j", "x"))
	run := w.start(t, aside(t, other, policy.Fallback{On: []policy.Reason{policy.ForRate}, After: time.Hour}))
	eventually(t, "it waits", func() bool { return run.Stats().Later == 1 })
	if n := other.Stats().Calls; n != 0 {
		t.Errorf("%d calls of the fallback", n)
	}
}

// While the fallback has no slot the job waits in the queue, and its own provider, which has refused
// it, is not called again.
func TestFallbackBusy(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "fault=context_length_exceeded"), newWorld(t, "closed=2s")
	w.put(t, "b", line("i", "x"))
	w.put(t, "b", line("j", "x"))
	run := w.start(t, aside(t, other, policy.Fallback{}), func(c *consumer.Config) { c.Accounts[1].Guard.MaxInFlight = 1 })
	for _, key := range []string{"i", "j"} {
		e := w.ending(t, "b", key)
		byOther(t, e)
		if w.calls("b", key) != 1 || e.Meta.Waits == 0 {
			t.Errorf("%s: %d calls, %+v", key, w.calls("b", key), e.Meta)
		}
	}
	w.drained(t)
	if s := run.Stats(); s.Later == 0 || other.Stats().Early > 0 {
		t.Errorf("stats %+v, provider %+v", s, other.Stats())
	}
}
