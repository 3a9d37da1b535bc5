package policy

import "time"

// Builtin gives the built-in rules, so that a test can ask for a body for each.
func Builtin() []Rule { return builtin() }

// The waits of jobs that an account problem keeps.
const (
	UnclearWait = unclearWait
	HeldWait    = heldWait
)

// Find reads an error body as Classify does.
func Find(body []byte) (codes, types []string, message string) {
	f := find(body)
	return f.codes, f.types, f.message
}

// Gate is a gate to be tested in a time that the test makes up.
type Gate struct{ g gate }

func (g *Gate) Strike(retryAfter time.Duration, sent, now time.Time) (time.Time, bool) {
	return g.g.strike(retryAfter, waits{backoffFirst, backoffMax}, sent, now)
}
func (g *Gate) Shut(until time.Time)    { g.g.shut(until) }
func (g *Gate) Answered(sent time.Time) { g.g.answered(sent) }
func (g *Gate) Opens() time.Time        { return g.g.opens() }
