package policy

import "time"

// startHold puts the provider to rest; a hold that stands already only moves its next probe.
func (g *Guard) startHold(f *Fault, unsure bool) {
	now := time.Now().UTC()
	g.mu.Lock()
	h := Hold{
		Provider: g.c.Provider, Class: f.Class, Since: now, Status: f.Status, Code: f.Code, Words: f.Words(),
		Owner: f.Class.Owner(), Remedy: f.Class.Remedy(), Unsure: unsure,
	}
	if g.hold != nil {
		if now.Before(g.hold.Probe) { // the calls that were in flight when it began
			g.mu.Unlock()
			return
		}
		h.Since, h.Probes = g.hold.Since, g.hold.Probes+1
	}
	h.Probe = now.Add(max(f.RetryAfter, g.ProbeDelay(h.Probes)))
	g.hold = &h
	g.mu.Unlock()
	g.c.OnHold(h)
}

// SetHold makes the guard obey a hold another worker has begun or moved; nil releases it. An
// unsure one that an answer has disproved meanwhile is released again.
func (g *Guard) SetHold(h *Hold) {
	g.mu.Lock()
	if h != nil && h.Unsure && g.answered.After(h.Since) {
		g.mu.Unlock()
		g.c.OnRelease(*h)
		return
	}
	released := g.hold != nil && h == nil
	g.hold = h
	g.mu.Unlock()
	if released {
		g.health.Reset()
		g.wake()
	}
}

// disprove notes an answer, and ends an unsure hold that began while it was on its way.
func (g *Guard) disprove(sent, now time.Time) {
	g.mu.Lock()
	g.answered = now
	h := g.hold
	wrong := h != nil && h.Unsure && sent.Before(h.Since)
	g.mu.Unlock()
	if wrong {
		g.SetHold(nil)
		g.c.OnRelease(*h)
	}
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
