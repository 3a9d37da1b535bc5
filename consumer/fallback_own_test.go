package consumer_test

import (
	"strings"
	"testing"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// What is wrong with the fallback's account holds that and not the queue's own provider, and no job
// dies of it. When it is mended, a job that needs it finds out.
func TestFallbackHeld(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "context=60"), newWorld(t, "fault=invalid_api_key")
	w.put(t, "b", talk("long", 3, 20))
	w.start(t, aside(t, other, policy.Fallback{}), func(c *consumer.Config) {
		c.Accounts[1].Guard.ProbeEvery = 500 * time.Millisecond
	})
	if h := w.hold(t); h.Provider != "other/big" || h.Class != policy.Auth {
		t.Errorf("hold %+v", h)
	}
	w.put(t, "b", line("short", "x"))
	if e := w.ending(t, "b", "short"); e.Dead || e.Meta.Provider != "acme" || e.Meta.Fallback {
		t.Errorf("ending %+v", e)
	}
	other.Set(healthy())
	e := w.ending(t, "b", "long")
	if e.Dead || e.Meta.Provider != "other" || w.calls("b", "long") != 1 {
		t.Errorf("%d calls, ending %+v", w.calls("b", "long"), e)
	}
	w.healed(t)
}

// An account problem of the queue's own provider is mended, and not paid for elsewhere.
func TestNoFallbackForAHeldProvider(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "fault=insufficient_quota"), newWorld(t, "")
	w.putMany(t, "b", kept, "x")
	w.start(t, few, aside(t, other, on(policy.Reasons()...)))
	w.hold(t)
	if got := w.counts(t, "b"); got.Ended() != 0 || other.Stats().Calls != 0 {
		t.Errorf("counts %+v, %d calls of the fallback", got, other.Stats().Calls)
	}
}

// When both refuse a job it is dead of the fallback's reason, with the attempts of both on record.
func TestBothRefuse(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "fault=context_length_exceeded"), newWorld(t, "bad=1")
	w.put(t, "b", line("j", "x"))
	w.start(t, aside(t, other, policy.Fallback{}))
	l := w.letter(t, "b", "j")
	if l.Class != policy.BadRequest || l.Code != "string_above_max_length" || len(l.Attempts) != 2 {
		t.Fatalf("letter %+v", l)
	}
	own, alt := l.Attempts[0], l.Attempts[1]
	if own.Provider != "acme" || own.Model != "m" || own.Class != policy.ContextOverflow ||
		alt.Provider != "other" || alt.Model != "big" || alt.Class != policy.BadRequest {
		t.Errorf("attempts %+v", l.Attempts)
	}
}

// A fallback that cannot take the job does not condemn it while its own provider may.
func TestOwnProviderOutlivesTheFallback(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, ""), newWorld(t, "context=1")
	w.put(t, "b", line("j", "[[sim:500x2]]"))
	w.start(t, once, aside(t, other, policy.Fallback{}))
	e := w.ending(t, "b", "j")
	if e.Dead || e.Meta.Provider != "acme" || e.Meta.Fallback || other.calls("b", "j") != 1 {
		t.Errorf("%d calls of the fallback, ending %+v", other.calls("b", "j"), e.Meta)
	}
}

// Prompts that all go to the fallback are no broken template.
func TestFallbackIsNoFlood(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "fault=context_length_exceeded"), newWorld(t, "")
	w.putMany(t, "b", 40, "x")
	w.start(t, aside(t, other, policy.Fallback{}), func(c *consumer.Config) { c.Accounts[0].Guard.Health.Flood = 5 })
	if got := w.ended(t, "b", 40); got.Answered != 40 {
		t.Errorf("counts %+v", got)
	}
	if all, err := w.store.Holds(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("holds %+v, %v", all, err)
	}
}

func TestBadFallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for want, f := range map[string]consumer.Fallback{
		`no provider "nobody"`: {Account: "nobody"}, "its own provider": {Account: "acme"},
		`"quota" is none of`: {Account: "spare", Fallback: on("quota")},
	} {
		c := w.config(t)
		c.Accounts = append(c.Accounts, consumer.Account{Name: "spare", Provider: c.Accounts[0].Provider})
		c.Queues[0].Fallbacks = []consumer.Fallback{f}
		if _, err := consumer.New(t.Context(), w.js, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}
