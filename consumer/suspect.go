package consumer

import "context"

// A job that was in hand at many crashes may be what causes them, or may only have been near.
// From half the limit of crashes on it is called while no other such job is, and that is noted
// before: the one that crashes then as well is the one.

// suspect says whether the job was in hand at so many crashes that it has to prove itself.
func (c *Consumer) suspect(d *delivery) bool { return d.crashes >= max(c.c.CrashLimit/2, 1) }

// guilty says whether it crashed its worker alone as often as it was given the chance.
func (c *Consumer) guilty(d *delivery) bool {
	return c.suspect(d) && d.history.Alone >= c.c.CrashLimit-max(c.c.CrashLimit/2, 1)
}

// isolate waits with a suspect until no other is being called. The caller calls leave when the
// job is settled.
func (c *Consumer) isolate(ctx context.Context, d *delivery) (o outcome, leave func()) {
	if !c.suspect(d) {
		return proceed, func() {}
	}
	select {
	case c.cell <- struct{}{}:
	case <-ctx.Done():
		return returned, func() {}
	}
	leave = func() { <-c.cell }
	d.history.Alone++
	if err := c.store.putHistory(ctx, d.job.Batch, d.job.Key, d.history); err != nil {
		d.unread = true // what is written down is older than what we hold
		return returned, leave
	}
	return proceed, leave
}
