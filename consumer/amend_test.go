package consumer_test

import (
	"fmt"
	"strings"
	"testing"

	"nightshift/consumer"
	"nightshift/policy"
)

// talk is a chat of so many turns of a hundred tokens each, behind a system message.
func talk(id string, turns, maxTokens int) string {
	messages := []string{`{"role":"system","content":"rules"}`}
	for i := range turns {
		messages = append(messages, fmt.Sprintf(`{"role":"user","content":"turn-%d %s"}`, i, strings.Repeat("x", 370)))
	}
	return fmt.Sprintf(`{"custom_id":%q,"body":{"model":"m","max_tokens":%d,"messages":[%s]}}`, id, maxTokens, strings.Join(messages, ","))
}

func sliding(c *consumer.Config) { c.Queues[0].SlidingWindow = true }

// A chat that is too long is answered without its oldest turns, in two calls, as the provider says
// how much fits.
func TestSlidingWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "context=600")
	w.put(t, "b", talk("long", 12, 20))
	w.put(t, "b", talk("short", 3, 20))
	run := w.start(t, sliding)
	e := w.ending(t, "b", "long")
	if e.Dead || e.Meta.Dropped < 6 || e.Meta.Dropped > 8 || e.Meta.Calls != 2 || w.calls("b", "long") != 2 || e.Meta.InputTokens > 580 {
		t.Errorf("%d calls, ending %+v", w.calls("b", "long"), e.Meta)
	}
	if e := w.ending(t, "b", "short"); e.Dead || e.Meta.Dropped != 0 || e.Meta.Calls != 1 {
		t.Errorf("ending %+v", e.Meta)
	}
	w.drained(t)
	eventually(t, "no slot is lost", func() bool { return run.Stats().Providers["acme"].InFlight == 0 })
}

// When the last turn alone is too long, the job is dead as what it is.
func TestSlidingWindowEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "context=50")
	w.put(t, "b", talk("j", 3, 20))
	w.start(t, sliding)
	l := w.letter(t, "b", "j")
	if l.Class != policy.ContextOverflow || len(l.Attempts) != w.calls("b", "j") || len(l.Attempts) < 2 || len(l.Attempts) > 5 {
		t.Errorf("%d calls, letter %+v", w.calls("b", "j"), l)
	}
	if m := w.ending(t, "b", "j").Meta; m.Dropped != 2 {
		t.Errorf("marker %+v", m)
	}
}

func TestOverflowIsDeadByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "context=600")
	w.put(t, "b", talk("j", 12, 20))
	w.start(t)
	if l := w.letter(t, "b", "j"); l.Class != policy.ContextOverflow || w.calls("b", "j") != 1 {
		t.Errorf("%d calls, letter %+v", w.calls("b", "j"), l)
	}
}

func truncated(on consumer.OnTruncated, ceiling int) func(*consumer.Config) {
	return func(c *consumer.Config) { c.Queues[0].OnTruncated, c.Queues[0].MaxTokensCeiling = on, ceiling }
}

// Truncated answers are answers, flagged and counted.
func TestTruncatedIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	want := map[string]string{"length": "length", "filtered": "content_filter", "ok": "stop"}
	for word := range want {
		w.put(t, "b", line(word, "[[sim:"+word+"]]"))
	}
	run := w.start(t)
	for word, reason := range want {
		e := w.ending(t, "b", word)
		if e.Dead || e.Meta.FinishReason != reason || e.Meta.Truncated != (word != "ok") || e.Meta.Calls != 1 {
			t.Errorf("%s: %+v", word, e.Meta)
		}
	}
	w.drained(t)
	if s := run.Stats(); s.Cut != 1 || s.Withheld != 1 || s.Answered != 3 {
		t.Errorf("stats %+v", s)
	}
}

// A queue that wants no truncated answer has them as dead letters, with what they cost.
func TestTruncatedIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, word := range []string{"length", "filtered", "ok"} {
		w.put(t, "b", line(word, "[[sim:"+word+"]]"))
	}
	run := w.start(t, truncated(consumer.DeadLetterTruncated, 0))
	for word, code := range map[string]string{"length": "length", "filtered": "content_filter"} {
		l := w.letter(t, "b", word)
		if l.Class != policy.Truncated || l.Code != code || l.Owner != "author" || l.InputTokens == 0 || len(l.Attempts) != 1 {
			t.Errorf("%s: %+v", word, l)
		}
		if word == "length" && (l.OutputTokens == 0 || l.Attempts[0].OutputTokens != l.OutputTokens) {
			t.Errorf("%s: %+v", word, l)
		}
		if m := w.ending(t, "b", word).Meta; m.LostInputTokens != l.InputTokens || m.LostOutputTokens != l.OutputTokens {
			t.Errorf("%s: %+v", word, m)
		}
	}
	if e := w.ending(t, "b", "ok"); e.Dead {
		t.Errorf("ending %+v", e)
	}
	w.drained(t)
	if s := run.Stats(); s.InputTokens == 0 || s.Dead[policy.Truncated] != 2 {
		t.Errorf("stats %+v", s)
	}
}

// More room is asked for, up to the ceiling; then what came is the answer. What was thrown away is
// on record.
func TestTruncatedIsRetriedWithMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "words=30")
	for id, tokens := range map[string]int{"enough": 40, "twice": 15, "fourfold": 10, "never": 5} {
		w.put(t, "b", talk(id, 1, tokens))
	}
	w.put(t, "b", line("open", "[[sim:length]]"))
	w.put(t, "b", line("filtered", "[[sim:filtered]]"))
	run := w.start(t, truncated(consumer.RetryWithMore, 0))
	for id, want := range map[string]struct {
		calls, raised, out, lost int
		reason                   string
	}{
		"enough": {1, 0, 30, 0, "stop"}, "twice": {2, 1, 30, 15, "stop"}, "fourfold": {3, 2, 30, 30, "stop"},
		"never": {3, 2, 20, 15, "length"}, "open": {1, 0, 15, 0, "length"}, "filtered": {1, 0, 0, 0, "content_filter"},
	} {
		m := w.ending(t, "b", id).Meta
		if m.Class != "" || m.Calls != want.calls || w.calls("b", id) != want.calls || m.Raised != want.raised ||
			m.OutputTokens != want.out || m.LostOutputTokens != want.lost || m.FinishReason != want.reason {
			t.Errorf("%s: %d calls, %+v", id, w.calls("b", id), m)
		}
	}
	w.drained(t)
	eventually(t, "no slot is lost", func() bool { return run.Stats().Providers["acme"].InFlight == 0 })
}

func TestMaxTokensCeiling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "words=30")
	w.put(t, "b", talk("j", 1, 10))
	w.start(t, truncated(consumer.RetryWithMore, 25))
	m := w.ending(t, "b", "j").Meta
	if m.OutputTokens != 25 || m.Raised != 2 || m.FinishReason != "length" || !m.Truncated {
		t.Errorf("%+v", m)
	}
}

// An answer in hand is not given up for a better one that does not come.
func TestTruncatedOutlivesTheRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "context=140,words=30")
	w.put(t, "b", talk("j", 1, 20)) // twice as much exceeds the context
	w.start(t, truncated(consumer.RetryWithMore, 0))
	m := w.ending(t, "b", "j").Meta
	if m.Class != "" || m.OutputTokens != 20 || m.Raised != 0 || m.FinishReason != "length" || m.Calls != 2 {
		t.Errorf("%+v", m)
	}
}
