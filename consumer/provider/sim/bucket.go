package sim

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// bucket is a limit a minute with continuous refill. The zero value limits nothing.
type bucket struct {
	limit       int
	burst, left float64
	at          time.Duration
}

func newBucket(limit, burst int, now time.Duration) bucket {
	full := float64(burst)
	if burst == 0 {
		full = max(1, float64(limit)/60)
	}
	return bucket{limit: limit, burst: full, left: full, at: now}
}

func (b *bucket) refill(now time.Duration) {
	if now > b.at {
		b.left = min(b.burst, b.left+(now-b.at).Minutes()*float64(b.limit))
		b.at = now
	}
}

// wait is how long until n may be taken. What exceeds the burst goes when the bucket is
// full and leaves it in debt; otherwise it would never go.
func (b *bucket) wait(n int) time.Duration {
	missing := min(float64(n), b.burst) - b.left
	// A millionth is the rounding of the refill, not a shortage.
	if b.limit == 0 || missing < 1e-6 {
		return 0
	}
	return b.span(missing)
}

// span is how long n take to refill.
func (b *bucket) span(n float64) time.Duration {
	return time.Duration(math.Ceil(n / float64(b.limit) * float64(time.Minute)))
}

func (b *bucket) take(n int) {
	if b.limit > 0 {
		b.left -= float64(n)
	}
}

// quota is what the headers say of a bucket.
type quota struct {
	limit, left int
	reset       time.Duration
}

// quota tells the truth about the burst: with the default burst, what is left is out of a
// second's worth, though the limit named is the minute's. That is how providers are, too.
func (b *bucket) quota() quota {
	if b.limit == 0 {
		return quota{}
	}
	return quota{
		limit: b.limit,
		left:  int(max(0, math.Floor(b.left+1e-6))),
		reset: b.span(b.burst - b.left).Round(time.Millisecond),
	}
}

func (q quota) write(w writer, unit string) {
	if q.limit == 0 {
		return
	}
	w.set("X-Ratelimit-Limit-"+unit, strconv.Itoa(q.limit))
	w.set("X-Ratelimit-Remaining-"+unit, strconv.Itoa(q.left))
	w.set("X-Ratelimit-Reset-"+unit, q.reset.String())
}

// over is the refusal of n, which may come again after wait.
func (b *bucket) over(typ, abbr string, n int, wait time.Duration, hints bool) *failure {
	f := plain(429)
	f.typ, f.atDoor = typ, true
	f.message = fmt.Sprintf("Rate limit reached for {model} in organization org-sim "+
		"on %s per min (%s): Limit %d, Used %d, Requested %d.", typ, abbr, b.limit, b.limit-b.quota().left, n)
	if hints {
		f.again(wait)
	}
	return &f
}

// again tells when to come back.
func (f *failure) again(wait time.Duration) {
	f.after = wait
	f.message += " Please try again in " + max(wait.Round(time.Millisecond), time.Millisecond).String() + "."
}

// tooLarge is the refusal of a request that exceeds a whole minute's tokens.
func tooLarge(limit, n int) *failure {
	f := plain(429)
	f.typ, f.atDoor = "tokens", true
	f.message = fmt.Sprintf("Request too large for {model} in organization org-sim "+
		"on tokens per min (TPM): Limit %d, Requested %d. "+
		"The input or output tokens must be reduced in order to run successfully.", limit, n)
	return &f
}
