package main

import (
	"context"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
)

func stormContenders() []contender {
	return []contender{
		{"nightshift", stormOurs},
		{"loop", stormLoop(func() limiter { return unlimited })},
		{"adaptive", stormLoop(adaptive)},
	}
}

// adaptive is failsafe-go's limiter with its defaults, used by hand, so that a refusal, which comes
// quickly, does not pass for a short latency.
func adaptive() limiter {
	l := adaptivelimiter.NewWithDefaults[any]()
	return func(ctx context.Context) (func(bool), error) {
		permit, err := l.AcquirePermit(ctx)
		if err != nil {
			return nil, err
		}
		return func(answered bool) {
			if answered {
				permit.Record()
			} else {
				permit.Drop()
			}
		}, nil
	}
}
