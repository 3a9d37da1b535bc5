package policy

import "time"

// Outcome is what becomes of a job after a fault.
type Outcome uint8

// The outcomes of a fault.
const (
	// Later hands the job back to the queue; it comes again after Decision.Delay.
	Later Outcome = iota + 1
	// Dead makes it a dead letter.
	Dead
)

// Evidence tells whose fault an account-scoped fault is, judged over many jobs (see Health).
type Evidence uint8

// What the other jobs of the provider say.
const (
	Unclear Evidence = iota
	// OfJob: others succeed, so it is this job.
	OfJob
	// OfAccount: others fail alike, so it is the account.
	OfAccount
)

// Terms are the limits one job is judged by.
type Terms struct {
	// Attempts is how many failed calls a job may have before it is dead.
	Attempts int
	// Deadline of the job; zero for none.
	Deadline time.Time
}

// Decision is what Decide made of a fault.
type Decision struct {
	Outcome Outcome
	// Class is the fault's, or Expired when the deadline comes before the next try.
	Class Class
	// Delay until the job may be called again, before jitter. For Later only.
	Delay time.Duration
	// Counts says whether the call counts as an attempt.
	Counts bool
}

// The delays between a job's attempts: 1 s, 2 s, 4 s … up to 32 s, as the providers ask
// (reference: exponential backoff with a cap of 32 s).
const (
	backoffFirst = time.Second
	backoffMax   = 32 * time.Second
	// unclearWait is how long a job waits for others to show whose fault it is.
	unclearWait = 5 * time.Second
	// heldWait is how long a job of a held provider rests. It is short, as nobody pulls
	// meanwhile and a released provider must not wait for its jobs.
	heldWait = time.Second
)

// Decide says what becomes of a job whose call failed with f. h holds the attempts before
// this call and not those of it; tries is how many calls were just made. It is pure and
// total: every class has exactly one row.
func Decide(f *Fault, h History, tries int, e Evidence, t Terms, now time.Time) Decision {
	d := decide(f, h, tries, e, t)
	if d.Outcome == Later && !t.Deadline.IsZero() && now.Add(d.Delay).After(t.Deadline) {
		return Decision{Outcome: Dead, Class: Expired, Counts: d.Counts}
	}
	return d
}

func decide(f *Fault, h History, tries int, e Evidence, t Terms) Decision {
	switch f.Class.Verdict() {
	case VerdictLater:
		return Decision{Outcome: Later, Class: f.Class, Delay: max(f.RetryAfter, backoff(h.Waits))}
	case VerdictHold:
		return account(f, e)
	case VerdictRetry:
		if e == OfAccount || tries <= 0 { // the whole provider fails, or no call was made
			return Decision{Outcome: Later, Class: f.Class, Delay: max(f.RetryAfter, backoff(h.Waits))}
		}
		done := len(h.Attempts) + tries
		if done >= t.Attempts {
			return Decision{Outcome: Dead, Class: f.Class, Counts: true}
		}
		return Decision{Outcome: Later, Class: f.Class, Counts: true, Delay: max(f.RetryAfter, backoff(done-1))}
	default: // VerdictDead and VerdictFallback: no fallback is configured
		if f.Class.Ambiguous() || e == OfAccount {
			return account(f, e)
		}
		return Decision{Outcome: Dead, Class: f.Class, Counts: true}
	}
}

// account judges a fault that may belong to the account: the job dies only when others
// succeed, and otherwise waits until it is known.
func account(f *Fault, e Evidence) Decision {
	switch e {
	case OfJob:
		return Decision{Outcome: Dead, Class: f.Class, Counts: true}
	case OfAccount:
		return Decision{Outcome: Later, Class: f.Class, Delay: max(f.RetryAfter, heldWait)}
	default:
		return Decision{Outcome: Later, Class: f.Class, Delay: max(f.RetryAfter, unclearWait)}
	}
}

func backoff(n int) time.Duration {
	if n >= 5 {
		return backoffMax
	}
	return min(backoffFirst<<max(n, 0), backoffMax)
}
