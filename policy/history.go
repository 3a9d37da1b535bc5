package policy

import "time"

// Attempt is one provider call that failed through the job, the provider or the network.
type Attempt struct {
	At         time.Time     `json:"at"`
	Provider   string        `json:"provider,omitempty"`
	Model      string        `json:"model,omitempty"`
	Class      Class         `json:"class"`
	Status     int           `json:"status,omitempty"`
	Code       string        `json:"code,omitempty"`
	Type       string        `json:"type,omitempty"`
	RequestID  string        `json:"request_id,omitempty"`
	Rule       string        `json:"rule,omitempty"`
	Latency    time.Duration `json:"latency_ns,omitempty"`
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
	// Message is the provider's sentence; it may repeat the prompt and is never logged.
	Message string `json:"message,omitempty"`
	// InputTokens and OutputTokens were used by an answer that was not kept.
	InputTokens  int `json:"input_tokens,omitempty"`
	OutputTokens int `json:"output_tokens,omitempty"`
}

// NewAttempt records a fault as an attempt.
func NewAttempt(at time.Time, provider string, latency time.Duration, f *Fault) Attempt {
	return Attempt{
		At: at.UTC(), Provider: provider, Class: f.Class, Status: f.Status, Code: f.Code, Type: f.Type,
		RequestID: f.RequestID, Rule: f.Rule, Latency: latency, RetryAfter: f.RetryAfter, Message: f.Message,
	}
}

// History is what happened to one job so far, over all deliveries and workers.
type History struct {
	// Calls counts every call of the job, whatever came of it.
	Calls int `json:"calls,omitempty"`
	// Attempts are the failed calls that count against the job's limit.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Waits counts hand-backs that cost the job nothing, for capacity or a held account;
	// LastWait is the latest of them.
	Waits    int      `json:"waits,omitempty"`
	LastWait *Attempt `json:"last_wait,omitempty"`
	// Waiting is when the first of the waits began.
	Waiting time.Time `json:"waiting,omitzero"`
	// Refused names the providers that found fault with the job itself, and the fault: they are
	// not asked again. Edit is how the request has been changed to suit the job's own provider.
	Refused map[string]Class `json:"refused,omitempty"`
	Edit    Edit             `json:"edit,omitzero"`
	// Until is when the job may be called again.
	Until time.Time `json:"until,omitzero"`
	// Deliveries and Resets tell how often the job had been handed out when its latest
	// outcome was recorded; what came after without an outcome are crashes.
	Deliveries uint64 `json:"deliveries,omitempty"`
	Resets     int    `json:"resets,omitempty"`
	// Alone counts the calls since then that were made while no other suspect of crashing its
	// worker was called.
	Alone int `json:"alone,omitempty"`
}

// Timeouts counts the latest attempts, in a row, that ran out of time.
func (h History) Timeouts() (n int) {
	for n < len(h.Attempts) && h.Attempts[len(h.Attempts)-1-n].Class == Timeout {
		n++
	}
	return n
}

// Crashes counts the deliveries that ended without any outcome since the latest noted one:
// workers that died, or lost their lease, with the job in hand. deliveries counts the present
// one; resets counts how often a restart of the broker found the job in hand and started the
// count of deliveries afresh.
//
// A restart also finds the jobs that wait for their time. So the first one after an outcome is
// not held against a job that has a history, and a job that only waits never crashes.
func (h History) Crashes(deliveries uint64, resets int) int {
	n, again := int(deliveries), resets-h.Resets //nolint:gosec // a count of deliveries fits
	switch {
	case again > 0 && h.Deliveries == 0: // in hand at each of them
		n += again
	case again > 0: // waiting at the first of them, for all we know
		n += again - 1
	case deliveries > h.Deliveries:
		n -= int(h.Deliveries) //nolint:gosec // a count of deliveries fits
	default: // the broker has forgotten its count, and nobody has counted that
	}
	return max(n-1, 0)
}

// Note records that the present delivery has an outcome, if only that the job came before its
// time: whoever hands a job back must note it, or the next delivery takes it for a crash.
func (h *History) Note(deliveries uint64, resets int) {
	h.Deliveries, h.Resets, h.Alone = deliveries, resets, 0
}

// Pass notes the failed calls of a provider where another is asked at once: the job is not handed
// back, so that its wait is remembered and not counted.
func (h *History) Pass(r Result, d Decision, now time.Time) {
	waits := h.Waits
	h.Add(r, d, now)
	h.Waits = waits
}

// Refuse notes that a provider found fault with the job itself.
func (h *History) Refuse(provider string, class Class) {
	if h.Refused == nil {
		h.Refused = map[string]Class{}
	}
	h.Refused[provider] = class
}

// Add notes the failed calls of one delivery and what was decided about the last of them. A
// decision that does not count makes a wait of it; transient faults before it still count,
// unless the whole provider fails.
func (h *History) Add(r Result, d Decision, now time.Time) {
	h.Calls += r.Calls
	failed := r.Attempts
	if !d.Counts {
		h.Waits++
		setDefault(&h.Waiting, now.UTC())
		w := NewAttempt(now, "", r.Reply.Latency, r.Fault)
		if n := len(failed); n > 0 {
			w, failed = failed[n-1], failed[:n-1]
		}
		h.LastWait = &w
		if r.Evidence == OfAccount {
			return
		}
	}
	h.Attempts = append(h.Attempts, failed...)
}
