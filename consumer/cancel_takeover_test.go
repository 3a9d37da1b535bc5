package consumer_test

import (
	"fmt"
	"testing"

	"nightshift/producer"
)

// A broker that was killed may have forgotten that the jobs of a cancelled batch were removed. Who
// starts it again removes them, and leaves those that were put back since.
func TestTakeOverCancelsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const n = 20
	w.putMany(t, "b", n, "x")
	w.putMany(t, "other", n, "x")
	jobs, err := w.js.Stream(t.Context(), producer.Stream)
	check(t, err)
	last := jobs.CachedInfo().State.LastSeq
	w.write(t, "cancel.b", fmt.Appendf(nil, `{"last":%d}`, last))
	w.putMany(t, "b", n, "y")
	w.takeOver(t)
	if got := w.jobs(t); got != 2*n {
		t.Errorf("%d jobs on the queue, want %d: those put back, and those of the other batch", got, 2*n)
	}
	info, err := jobs.Info(t.Context())
	check(t, err)
	if info.State.LastSeq != last+n || info.State.NumDeleted+int(info.State.FirstSeq)-1 != n {
		t.Errorf("state %+v: not the jobs up to the cancellation were removed", info.State)
	}
}
