package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever happens, the limit stays within its bounds and no slot is lost or made up.
func TestWindowLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ceiling := rapid.IntRange(1, 40).Draw(t, "ceiling")
		l := newLean(rapid.IntRange(1, 40).Draw(t, "start"), ceiling)
		granted := 0
		var calls []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			l.now = l.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pass")) * time.Millisecond)
			switch op := rapid.IntRange(0, 5).Draw(t, "op"); {
			case op == 0:
				got, _ := l.TryTake(rapid.IntRange(-1, 50).Draw(t, "want"))
				granted += got
			case op == 1 && granted > 0:
				l.Give(1)
				granted--
			case op == 2 && granted > 0:
				l.Begin(l.now)
				granted--
				calls = append(calls, l.now)
			case len(calls) > 0:
				sent := calls[0]
				calls = calls[1:]
				switch op {
				case 3:
					l.Answered(l.now.Sub(sent), l.now)
				case 4:
					if nothing := l.Refused(sent, l.now); nothing != (len(calls) == 0) {
						t.Fatalf("nothing carried is %v with %d calls", nothing, len(calls))
					}
				default:
					l.End()
				}
			}
			limit, inFlight := l.Load()
			if inFlight != granted+len(calls) || limit < 1 || limit > ceiling {
				t.Fatalf("limit %d of %d, %d in flight, %d granted, %d calls", limit, ceiling, inFlight, granted, len(calls))
			}
		}
	})
}
