package consumer_test

import (
	"slices"
	"testing"

	"nightshift/consumer"
	"nightshift/policy"
)

// A long replay removes whole runs at once, and only what was replayed: letters of another class,
// and those that the filter leaves out between others, stay, each with its marker.
func TestReplayLeavesOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n, chosen = 9000, 2400
	w.fill(t, "b", n)
	left := map[string]bool{}
	for _, l := range w.letters(t, consumer.Filter{}) {
		left[l.Key] = true
	}
	oldest := w.letters(t, consumer.Filter{Class: policy.Timeout})
	slices.Reverse(oldest)
	// A whole class from its first letter on, and then some that others stand between.
	for _, l := range oldest[:chosen] {
		delete(left, l.Key)
	}
	var odd []string
	for _, l := range oldest[chosen:] {
		if len(odd) < 200 && l.Model == "m1" {
			odd = append(odd, l.ID())
			delete(left, l.Key)
		}
	}
	for _, r := range []struct {
		consumer.Filter
		consumer.Replay
	}{
		{consumer.Filter{Class: policy.Timeout}, consumer.Replay{Limit: chosen}},
		{consumer.Filter{IDs: odd}, consumer.Replay{}},
	} {
		_, err := w.store.Replay(t.Context(), r.Filter, r.Replay)
		check(t, err)
	}
	for _, l := range w.letters(t, consumer.Filter{}) {
		if !left[l.Key] {
			t.Errorf("%s stayed or is there twice", l.Key)
		}
		delete(left, l.Key)
	}
	if len(left) > 0 {
		t.Errorf("%d letters are lost", len(left))
	}
	replayed := chosen + len(odd)
	if c := w.counts(t, "b"); c.Dead != n-replayed || w.jobs(t) != replayed {
		t.Errorf("counts %+v, %d jobs", c, w.jobs(t))
	}
}
