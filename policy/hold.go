package policy

import "time"

// judge notes what became of a job in the provider's health. Answers and faults are judged one at a
// time, so that no fault that came before an answer begins a hold after it.
func (g *Guard) judge(job string, f *Fault) Evidence {
	if f == nil {
		g.answer()
		return Unclear
	}
	g.mu.Lock()
	e, verdict := g.health.verdict(job, f)
	var begun *Hold
	if verdict != 0 {
		begun = g.startHold(f, verdict == holdUnsure)
	}
	g.mu.Unlock()
	if begun != nil {
		g.c.OnHold(*begun)
	}
	if f.Class.Verdict() == VerdictRetry && !g.breaker.IsClosed() {
		return OfAccount
	}
	return e
}

// startHold puts the provider to rest; a hold that stands already only moves its next probe. The
// caller holds g.mu, and tells of the hold if there is one.
func (g *Guard) startHold(f *Fault, unsure bool) *Hold {
	now := time.Now().UTC()
	h := Hold{
		Provider: g.c.Provider, Class: f.Class, Since: now, Status: f.Status, Code: f.Code, Words: f.Words(),
		Owner: f.Class.Owner(), Remedy: f.Class.Remedy(), Unsure: unsure,
	}
	if g.hold != nil {
		if now.Before(g.hold.Probe) { // the calls that were in flight when it began
			return nil
		}
		h.Since, h.Probes = g.hold.Since, g.hold.Probes+1
	}
	h.Probe = now.Add(max(f.RetryAfter, g.ProbeDelay(h.Probes)))
	g.hold = &h
	return &h
}

// SetHold makes the guard obey a hold another worker has begun or moved; nil releases it. An
// unsure one that an answer has disproved meanwhile is released again.
func (g *Guard) SetHold(h *Hold) {
	g.mu.Lock()
	wrong := h != nil && h.Unsure && g.answered.After(h.Since)
	switch {
	case wrong:
	case h == nil:
		g.release()
	default:
		g.hold = h
	}
	g.mu.Unlock()
	if wrong {
		g.c.OnRelease(*h)
	}
}

// Heal ends a hold because another worker was answered.
func (g *Guard) Heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold != nil {
		g.answered = time.Now()
		g.release()
	}
}

// answer notes an answer. It ends an unsure hold, which stood on there being none.
func (g *Guard) answer() {
	g.mu.Lock()
	g.answered = time.Now()
	g.health.Answer()
	h := g.hold
	wrong := h != nil && h.Unsure
	if wrong {
		g.release()
	}
	g.mu.Unlock()
	if wrong {
		g.c.OnRelease(*h)
	}
}

// release ends a hold. Nothing of the evidence for it is left; that the provider has answered since
// it began, as a probe or a call that was on its way, is. The caller holds g.mu.
func (g *Guard) release() {
	if g.hold == nil {
		return
	}
	if g.answered.After(g.hold.Since) {
		g.health.Answer()
	} else {
		g.health.Reset()
	}
	g.hold = nil
	g.wakeLocked()
}

// ProbeSlot takes a slot for one job although the provider is held. The caller must be the
// only worker that probes.
func (g *Guard) ProbeSlot() bool {
	got, _ := g.window.TryTake(1)
	return got == 1
}

// ProbeDelay is how long to wait before the probe after n: it doubles to eight times the
// configured time.
func (g *Guard) ProbeDelay(n int) time.Duration { return g.c.ProbeEvery << min(max(n, 0), 3) }
