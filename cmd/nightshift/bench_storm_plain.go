//go:build !adaptivelimiter

package main

func stormContenders() []contender {
	return []contender{{"nightshift", stormOurs}, {"loop", stormLoop(func() limiter { return unlimited })}}
}
