package consumer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/consumer"
	"nightshift/policy"
)

func TestTransientFaultsAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "trickle=200ms")
	scripts := map[string]int{ // calls it takes
		"[[sim:500x2]]": 3, "[[sim:resetx1]]": 2, "[[sim:halfx1]]": 2, "[[sim:htmlx1]]": 2,
		"[[sim:garbagex1]]": 2, "[[sim:slow]]": 1, "[[sim:lengthx1]]": 1,
	}
	keys := map[string]string{}
	for script := range scripts {
		key := "j" + string(rune('a'+len(keys)))
		keys[key] = script
		w.put(t, "b", line(key, script))
	}
	w.start(t)
	w.ended(t, "b", len(scripts))
	for key, script := range keys {
		e := w.ending(t, "b", key)
		want := scripts[script]
		if e.Dead || e.Meta.Calls != want || w.calls("b", key) != want || e.Meta.Again != 0 {
			t.Errorf("%s: %d calls, ending %+v", script, w.calls("b", key), e)
		}
	}
	w.drained(t)
}

// What never heals is dead after the attempts of its queue, each of them on record.
func TestFaultsForEver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		want    map[string]policy.Class
	}{
		"no reply": {300 * time.Millisecond, map[string]policy.Class{"hang": policy.Timeout}},
		"a reply": {patience, map[string]policy.Class{
			"500": policy.ServerError, "reset": policy.Network, "half": policy.Network,
			"html": policy.ServerError, "garbage": policy.BadReply,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failForEver(t, c.timeout, c.want)
		})
	}
}

func failForEver(t *testing.T, timeout time.Duration, want map[string]policy.Class) {
	t.Helper()
	w := newWorld(t, "hang=1m")
	for word := range want {
		w.put(t, "b", line(word, "[[sim:"+word+"]]"))
	}
	const attempts = 3
	w.start(t, func(c *consumer.Config) {
		c.Queues[0].Attempts = attempts
		c.Accounts[0].Guard.Timeout, c.Accounts[0].Guard.Tries = timeout, 1
	})
	for word, class := range want {
		l := w.letter(t, "b", word)
		if l.Class != class || len(l.Attempts) != attempts || w.calls("b", word) != attempts {
			t.Errorf("%s: %d calls, letter %+v", word, w.calls("b", word), l)
		}
		for i, a := range l.Attempts {
			if a.Class != class || a.Provider != "acme" || i > 0 && a.At.Before(l.Attempts[i-1].At) {
				t.Errorf("%s: attempt %d: %+v", word, i, a)
			}
		}
		if e := w.ending(t, "b", word); e.Meta.Calls != attempts || e.Meta.Class != class {
			t.Errorf("%s: marker %+v", word, e)
		}
	}
	w.drained(t)
}

// A job that was postponed keeps its history, which is gone when it has ended.
func TestHistoryOfAWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.put(t, "b", line("j", "[[sim:500x3]]"))
	w.start(t)
	var h policy.History
	eventually(t, "a history", func() bool {
		var err error
		h, err = w.store.History(t.Context(), "b", "j")
		check(t, err)
		return h.Deliveries > 0
	})
	if h.Calls != 2 || len(h.Attempts) != 2 || h.Waits != 0 || !h.Until.After(time.Now()) {
		t.Errorf("history %+v", h)
	}
	if e := w.ending(t, "b", "j"); e.Dead || e.Meta.Calls != 4 {
		t.Errorf("ending %+v", e)
	}
	w.drained(t)
	eventually(t, "the history is gone", func() bool {
		got, err := w.store.History(t.Context(), "b", "j")
		check(t, err)
		return cmp.Equal(policy.History{}, got)
	})
}
