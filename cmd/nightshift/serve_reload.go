package main

import (
	"context"
	"errors"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// reload reads the configuration again. What cannot be used changes nothing.
func (v *server) reload(ctx context.Context) {
	v.say(v.systemd.reloading())
	err := v.exchange(ctx)
	v.metrics.reloaded(err == nil)
	if err == nil {
		v.log.Info().Strs("queues", v.current().queues).Msg("the configuration was read again")
	} else {
		e := v.log.Error().Err(err)
		var h interface{ Hint() string }
		if errors.As(err, &h) && h.Hint() != "" {
			e = e.Str("hint", h.Hint())
		}
		e.Msg("the configuration is not changed")
	}
	if v.ready.Load() {
		v.say(v.systemd.tell("READY=1"))
	}
}

// exchange has all that can go by the new configuration do so, or nothing.
func (v *server) exchange(ctx context.Context) error {
	next, err := v.reread()
	if err != nil {
		return err
	}
	told, err := newEndpoints(next.config.Notify)
	if err != nil {
		return err
	}
	if err := v.begin(ctx, next); err != nil {
		return err
	}
	v.notify.use(told)
	v.app = next // only this goroutine reads it
	return nil
}

// reread is this process with the configuration as it is now, but for what cannot change while it
// runs.
func (v *server) reread() (*app, error) {
	c, err := loadConfig(v.flags.configFile)
	if err != nil {
		return nil, err
	}
	var fixed []string
	for _, f := range []struct {
		key   string
		moved bool
	}{
		{"store", c.Store != v.config.Store},
		{"sync", c.Sync != v.config.Sync},
		{"nats", c.NATS != v.config.NATS},
		{"serve", c.Serve != v.config.Serve},
	} {
		if f.moved {
			fixed = append(fixed, f.key)
		}
	}
	if len(fixed) > 0 {
		v.log.Warn().Strs("keys", fixed).Msg("these change by a restart only, their old values stay")
	}
	c.Store, c.Sync, c.NATS, c.Serve = v.config.Store, v.config.Sync, v.config.NATS, v.config.Serve
	next := *v.app
	next.config = c
	return &next, nil
}

// Called passes it on.
func (o observers) Called(account string, class policy.Class, took time.Duration) {
	for _, one := range o {
		one.Called(account, class, took)
	}
}

// Settled passes it on.
func (o observers) Settled(s consumer.Settled) {
	for _, one := range o {
		one.Settled(s)
	}
}
