package policy

import (
	"sync"
	"time"
)

// Hold is a provider at rest until somebody acts.
type Hold struct {
	Provider string    `json:"provider"`
	Class    Class     `json:"class"`
	Since    time.Time `json:"since"`
	Status   int       `json:"status,omitempty"`
	Code     string    `json:"code,omitempty"`
	// Words are the provider's own, redacted.
	Words string `json:"words,omitempty"`
	// Owner is who can mend it, Remedy what they must do.
	Owner  string `json:"owner"`
	Remedy string `json:"remedy"`
	// Probe is when one job is tried again to see whether it has healed; Probes counts them.
	Probe  time.Time `json:"probe"`
	Probes int       `json:"probes,omitempty"`
	// Unsure says that it stands on a few jobs that failed alike before any was answered. The
	// next answer ends it, such as one that was on its way by then.
	Unsure bool `json:"unsure,omitempty"`
}

// HealthConfig says how much evidence a hold takes. Zero fields mean the defaults.
type HealthConfig struct {
	// Alike is how many different jobs must fail alike, with no success between, before an
	// ambiguous fault is taken for the account's. Default 3. Where there are not that many
	// jobs, three failures for each of them do: a lone job must not wait for others for ever.
	Alike int
	// Flood is how many dead letters of one class in a row, with no answer between, hold
	// the provider: a broken template is not 400,000 dead letters. Default 50.
	Flood int
	// Row is how many failed calls in a row of any kind, but rate limits and lack of
	// capacity, hold the provider. Default 200.
	Row int
}

func (c HealthConfig) withDefaults() HealthConfig {
	if c.Alike == 0 {
		c.Alike = 3
	}
	if c.Flood == 0 {
		c.Flood = 50
	}
	if c.Row == 0 {
		c.Row = 200
	}
	return c
}

// Health judges over many jobs whose fault a fault is. It is safe for concurrent use.
type Health struct {
	mu sync.Mutex
	c  HealthConfig
	// answered says that the provider has answered since the last hold.
	answered bool
	// alike holds what failed with an ambiguous class since the last answer.
	alike map[Class]*likes
	// dead counts the dead letters of one class since the last answer.
	dead      int
	deadClass Class
	row       int
}

// likes are failures of one class: the jobs that met them, and how many there were.
type likes struct {
	jobs     map[string]struct{}
	failures int
}

// NewHealth returns a Health that has seen nothing yet.
func NewHealth(c HealthConfig) *Health {
	return &Health{c: c.withDefaults(), alike: map[Class]*likes{}}
}

// Answer notes that a job was answered.
func (h *Health) Answer() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = true
	if len(h.alike) > 0 {
		clear(h.alike)
	}
	h.dead, h.row = 0, 0
}

// Judge notes a job's fault and says whose it is, and whether the provider must be held. A
// fault that holds the provider is the account's, whatever its class: no job dies of it.
func (h *Health) Judge(job string, f *Fault) (e Evidence, hold bool) {
	e, v := h.verdict(job, f)
	return e, v != 0
}

// holding says whether a fault holds the provider, and how surely.
type holding uint8

const (
	holdSure   holding = iota + 1
	holdUnsure         // before any answer, some jobs failed alike
)

func (h *Health) verdict(job string, f *Fault) (e Evidence, held holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := f.Class.Verdict()
	if v == VerdictLater {
		return Unclear, 0
	}
	unsure := f.Class.Ambiguous() && !h.answered
	switch {
	case f.Class.Ambiguous():
		e = h.ambiguous(job, f.Class)
	case v == VerdictHold:
		e = OfAccount
	case v == VerdictRetry: // an outage is the breaker's; here it only counts in the row
	default:
		e = h.flood(f.Class)
	}
	if h.row++; h.row >= h.c.Row {
		e, unsure = OfAccount, false
	}
	switch {
	case e != OfAccount:
		return e, 0
	case unsure:
		return e, holdUnsure
	}
	return e, holdSure
}

func (h *Health) ambiguous(job string, c Class) Evidence {
	if h.answered {
		return h.flood(c)
	}
	l := h.alike[c]
	if l == nil {
		l = &likes{jobs: map[string]struct{}{}}
		h.alike[c] = l
	}
	l.jobs[job] = struct{}{}
	l.failures++
	if len(l.jobs) >= h.c.Alike || l.failures >= 3*h.c.Alike {
		return OfAccount
	}
	return Unclear
}

// flood counts the dead letters of one class in a row.
func (h *Health) flood(c Class) Evidence {
	if c != h.deadClass {
		h.deadClass, h.dead = c, 0
	}
	h.dead++
	if h.dead >= h.c.Flood {
		return OfAccount
	}
	return OfJob
}

// Reset forgets the evidence, when a hold was released.
func (h *Health) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered, h.dead, h.row = false, 0, 0
	clear(h.alike)
}
