package policy_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/policy"
)

// slow makes a call that takes so long and then replies.
func slow(t *testing.T, g *policy.Guard, d time.Duration, r policy.Reply) (done chan policy.Result) {
	t.Helper()
	if g.TryTake(1) != 1 {
		t.Fatalf("no slot: %+v", g.State())
	}
	done = make(chan policy.Result, 1)
	go func() {
		done <- g.Do(t.Context(), "slow", 1, func(context.Context) policy.Reply { time.Sleep(d); return r })
	}()
	return done
}

// Some fast 404 at a fresh start hold the provider; an answer that was on its way ends that. A
// fault that leaves no doubt stays.
func TestUnsureHoldEndsByAnAnswerOnItsWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		held   bool
	}{{404, false}, {401, true}} {
		synctest.Test(t, func(t *testing.T) {
			var held, released []policy.Hold
			g := policy.NewGuard(policy.GuardConfig{
				OnHold:    func(h policy.Hold) { held = append(held, h) },
				OnRelease: func(h policy.Hold) { released = append(released, h) },
			})
			late := slow(t, g, 10*time.Second, answer())
			time.Sleep(2 * time.Second) // the others do not wait for the first one so long
			for _, job := range []string{"a", "b", "c"} {
				if len(held) == 0 {
					do(t, g, job, 1, status(c.status))
				}
			}
			time.Sleep(time.Second)
			if len(held) != 1 || g.State().Hold == nil || held[0].Unsure == c.held {
				t.Fatalf("holds %+v", held)
			}
			<-late
			if isHeld := g.State().Hold != nil; isHeld != c.held || (len(released) == 0) != c.held {
				t.Errorf("held %v, released %+v", isHeld, released)
			}
			// The word of the hold comes back from the fleet, later than the answer.
			g.SetHold(&held[0])
			if isHeld := g.State().Hold != nil; isHeld != c.held {
				t.Errorf("held %v", isHeld)
			}
			idle(t, g)
		})
	}
}

// A hold that began after the last answer stands, whatever that said.
func TestUnsureHoldOutlivesOldAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := policy.NewGuard(policy.GuardConfig{OnRelease: func(h policy.Hold) { t.Errorf("released %+v", h) }})
		do(t, g, "job", 1, answer())
		time.Sleep(time.Minute)
		g.SetHold(&policy.Hold{Class: policy.NotFound, Since: time.Now(), Unsure: true})
		if g.State().Hold == nil {
			t.Error("not held")
		}
	})
}

// Whichever comes first, the answer or one more fault like those that began the hold: the answer
// has the last word.
func TestUnsureHoldDoesNotComeBackInTheSameMoment(t *testing.T) {
	t.Parallel()
	for range 300 {
		g := policy.NewGuard(policy.GuardConfig{Start: 16})
		do(t, g, "first", 1, status(404)) // the others need not wait for it
		g.TryTake(13)
		reply, faults := make(chan struct{}), make(chan struct{})
		var calls sync.WaitGroup
		calls.Go(func() {
			g.Do(t.Context(), "late", 1, func(context.Context) policy.Reply { <-reply; return answer() })
		})
		for i := range 12 {
			calls.Go(func() {
				g.Do(t.Context(), strconv.Itoa(i), 1, func(context.Context) policy.Reply {
					if i >= 2 {
						<-faults
					}
					return status(404)
				})
			})
		}
		for g.State().Hold == nil {
			runtime.Gosched()
		}
		close(faults)
		close(reply)
		calls.Wait()
		if h := g.State().Hold; h != nil {
			t.Fatalf("held although it answered: %+v", h)
		}
	}
}

// Who was released because it answered is known to answer: what fails now is the jobs' fault. Who
// was released by hand is not.
func TestReleaseKeepsWhatAProbeShowed(t *testing.T) {
	t.Parallel()
	for _, healed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var held []policy.Hold
			g := policy.NewGuard(policy.GuardConfig{OnHold: func(h policy.Hold) { held = append(held, h) }})
			do(t, g, "quota", 1, status(401))
			time.Sleep(time.Second)
			if healed {
				if !g.ProbeSlot() {
					t.Fatal("no slot for a probe")
				}
				g.Do(t.Context(), "quota", 1, func(context.Context) policy.Reply { return answer() })
			}
			time.Sleep(time.Second)
			g.SetHold(nil)
			for _, job := range []string{"a", "b", "c"} {
				do(t, g, job, 1, status(404))
			}
			if again := len(held) > 1; again == healed {
				t.Errorf("healed %v, held again %v", healed, again)
			}
		})
	}
}
