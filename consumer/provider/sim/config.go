package sim

import (
	"cmp"
	"time"
)

// Config says how the provider behaves. The zero value is instant, faultless and unlimited.
// Times count from New or the last Set. Rates are shares of calls in [0,1]; one draw per
// call chooses between them, so each is exact and together they may not exceed 1.
type Config struct {
	// Latency until the first byte of an answer or a 5xx: the median when Sigma is set,
	// else constant. Refusals and other 4xx come at once.
	Latency time.Duration
	// Sigma spreads Latency log-normally.
	Sigma float64
	// Seed of everything random. The same seed gives the same faults to the same job ids.
	Seed uint64
	// Words of an answer; 0 means 8. One that may have fewer tokens ends for its length.
	Words int
	// Contexts limit what a request may come to by its model; none is no limit.
	Contexts []Context
	// Chunk is the pause before each word of a streamed answer.
	Chunk time.Duration

	// Capacity is how many calls may be under way at once; 0 means any number.
	Capacity int
	// Steps change Capacity over time; a step to 0 admits nobody.
	Steps []Step
	// Overload is the status of a capacity refusal: 429 (default), 503 or 529.
	Overload int
	// RPM and TPM limit requests and tokens a minute, by continuous refill; 0 means no limit.
	RPM, TPM int
	// Burst and BurstTokens are what may come at once; 0 means a second's worth, at least 1.
	Burst, BurstTokens int
	// Headers off leaves out every rate-limit header and hint, Retry-After included.
	HeadersOff bool

	// Outage is when every call gets OutageStatus, 503 by default.
	Outage       Window
	OutageStatus int
	// Closed is how long every call gets a 429 that says, by Retry-After, when to come.
	Closed time.Duration
	// Grace is how long after a Retry-After was sent a call of another job is not early: it was
	// on its way and could not know. 0 means 250 ms.
	Grace time.Duration

	// Rates, per call: Errors answers 500, Hangs nothing for Hang, Resets the connection,
	// Half a body shorter than announced, HTML a proxy's 502, Slow a body that takes Trickle,
	// Garbage a 200 that is not JSON.
	Errors, Hangs, Resets, Half, HTML, Slow, Garbage float64
	// Hang is how long a hung call lasts if the client does not go away; 0 means 10 minutes.
	Hang time.Duration
	// Trickle is how long a slow body takes; 0 means 5 seconds.
	Trickle time.Duration

	// Fault, by name, is what every call gets; see Faults for the names.
	Fault string
	// Until is when Fault heals; 0 means never.
	Until time.Duration
	// Key, when set, must come as bearer token.
	Key string

	// Bad and Missing are the shares of job ids which always get a 400, or a 404
	// model_not_found. One draw per id chooses between them.
	Bad, Missing float64
}

// Step is a change of capacity.
type Step struct {
	Capacity int
	At       time.Duration
}

// Window is a span of time; the zero value is empty.
type Window struct {
	From, To time.Duration
}

func (w Window) holds(t time.Duration) bool { return w.From <= t && t < w.To }

func (c *Config) words() int             { return max(0, cmp.Or(c.Words, 8)) }
func (c *Config) hang() time.Duration    { return cmp.Or(c.Hang, 10*time.Minute) }
func (c *Config) trickle() time.Duration { return cmp.Or(c.Trickle, 5*time.Second) }
func (c *Config) outageStatus() int      { return cmp.Or(c.OutageStatus, 503) }
func (c *Config) grace() time.Duration   { return cmp.Or(c.Grace, 250*time.Millisecond) }
func (c *Config) rates() [rated]float64 {
	return [rated]float64{c.Errors, c.Hangs, c.Resets, c.Half, c.HTML, c.Slow, c.Garbage}
}

// limit is how many calls may be under way at t; limited is false when any number may.
func (c *Config) limit(t time.Duration) (n int, limited bool) {
	n, limited = c.Capacity, c.Capacity > 0
	for _, s := range c.Steps {
		if t < s.At {
			break
		}
		n, limited = s.Capacity, true
	}
	return n, limited
}

// faulty says whether the account fault is in force at t.
func (c *Config) faulty(t time.Duration) bool {
	return c.Fault != "" && (c.Until == 0 || t < c.Until)
}
