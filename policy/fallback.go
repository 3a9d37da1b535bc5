package policy

import (
	"fmt"
	"slices"
	"time"
)

// Reason is a kind of fault that a fallback may be used for. The set is closed: Reasons lists it.
type Reason string

// The reasons.
const (
	// ForOverflow: the request is too long for the model, or too large for the provider.
	ForOverflow Reason = "context_overflow"
	// ForOutage: the provider cannot be reached, fails or has no capacity.
	ForOutage Reason = "unavailable"
	// ForRate: a rate limit keeps the job waiting beyond Fallback.After.
	ForRate Reason = "rate_limited"
	// ForFilter: the provider's content policy refused the prompt.
	ForFilter Reason = "content_filtered"
)

// Reasons lists every reason there is. The slice is the caller's.
func Reasons() []Reason { return []Reason{ForOverflow, ForOutage, ForRate, ForFilter} }

// DefaultAfter is how long a rate limit may keep a job waiting before a fallback is used for it,
// where Fallback.After says nothing.
const DefaultAfter = 10 * time.Minute

// Fallback says which faults of a queue's own provider send a job on to another.
type Fallback struct {
	// On lists the reasons. Default: ForOverflow and ForOutage.
	On []Reason
	// After is how long a rate limit may keep a job waiting. Default DefaultAfter.
	After time.Duration
}

// Validate says which reason is none of Reasons, or that After is negative.
func (f Fallback) Validate() error {
	for _, r := range f.On {
		if !slices.Contains(Reasons(), r) {
			return fmt.Errorf("on: %q is none of %v", string(r), Reasons())
		}
	}
	if f.After < 0 {
		return fmt.Errorf("after: %v is negative", f.After)
	}
	return nil
}

// For says whether the fallback is used for the reason.
func (f Fallback) For(r Reason) bool {
	if len(f.On) == 0 {
		return r == ForOverflow || r == ForOutage
	}
	return slices.Contains(f.On, r)
}

// Serves says whether a job that met the fault goes to the fallback now. h is its history before
// the call, wait how long its own provider lets it wait at least.
//
// A single refusal for lack of capacity is how the window finds its size and no outage: only a job
// that was refused so before goes on. All other tries in place have been made when a fault is
// known.
func (f Fallback) Serves(fault *Fault, h History, wait time.Duration, now time.Time) bool {
	switch fault.Class {
	case ContextOverflow, TooLarge:
		return f.For(ForOverflow)
	case ContentFiltered:
		return f.For(ForFilter)
	case ServerError, Timeout, Network:
		return f.For(ForOutage)
	case Overloaded:
		return f.For(ForOutage) && h.LastWait != nil && h.LastWait.Class == Overloaded
	case RateLimited:
		after := f.After
		setDefault(&after, DefaultAfter)
		since := h.Waiting
		if since.IsZero() {
			since = now
		}
		return f.For(ForRate) && now.Add(max(wait, fault.RetryAfter)).Sub(since) >= after
	default:
		return false
	}
}

// Refuses says whether the class is a refusal of the job itself by the one who was asked, for
// which another may have a larger context or another policy.
func (c Class) Refuses() bool {
	v := c.Verdict()
	return (v == VerdictDead || v == VerdictFallback) && !c.Ambiguous() && c != Expired && c != CrashLoop
}

// Over says what becomes of a job whose own provider failed it, as d has it, when a fallback
// failed too, as alt has it. It is the one place where the two are weighed:
//
//   - The fallback answered, if not as the queue wants it: that is the end of it.
//   - The job may come again to its own provider: it waits for that, whatever the fallback said,
//     as a fallback may lack what the job asks for. If the fallback may take it earlier, it comes
//     again earlier.
//   - The job has used up its attempts or its time: it is dead of what its own provider said.
//   - Its own provider can never answer it: it waits for a fallback that may. If that refuses the
//     job itself too, the job is dead of the fallback's reason, as that was the wider door. If the
//     attempts were used up there, it is dead of its own provider's reason.
//
// Whether the latest calls count is told by alt, as they are the fallback's.
func (d Decision) Over(alt Decision) Decision {
	final := d.Outcome == Dead && d.Class.Refuses()
	switch {
	case alt.Class == Truncated, final && alt.Outcome == Later, final && alt.Class.Refuses():
		return alt
	}
	d.Counts = alt.Counts
	if d.Outcome == Later && alt.Outcome == Later {
		d.Delay = min(d.Delay, alt.Delay)
	}
	return d
}
