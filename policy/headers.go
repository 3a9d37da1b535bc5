package policy

import (
	"math"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // Gemini's days end in California, also on a machine without zone files
)

// maxWait is the longest wait a provider is believed to ask for.
const maxWait = 24 * time.Hour

// RetryAfter reads how long the provider asks to be left alone, from 0 to 24 hours; 0 when it
// does not say. Of Retry-After and retry-after-ms the later counts. Where there is neither, the
// body is asked (Gemini's retryDelay, "try again in 7.66s"), and for a 429 at last the reset of
// whichever limit has nothing remaining.
func RetryAfter(r Reply, now time.Time) time.Duration {
	return retryAfter(r, find(r.Body), now)
}

func retryAfter(r Reply, body finding, now time.Time) time.Duration {
	if d, ok := headerWait(r.Header, now); ok {
		return d
	}
	if body.delay > 0 {
		return body.delay
	}
	if d := messageWait(body.message); d > 0 || r.Status != 429 {
		return d
	}
	return ParseLimits(r.Header, now).exhausted()
}

// headerWait gives the later of the two headers, and whether there is one that can be read.
func headerWait(h textproto.MIMEHeader, now time.Time) (time.Duration, bool) {
	after, ok := span(header(h, "Retry-After"))
	if !ok {
		after, ok = until(header(h, "Retry-After"), h.Get("Date"), now)
	}
	ms, okMS := number(header(h, "Retry-After-Ms"), time.Millisecond)
	return max(after, ms), ok || okMS
}

// header gives a header's value. LiteLLM keeps those of the provider behind it under a prefix.
func header(h textproto.MIMEHeader, name string) string {
	if v := h.Get(name); v != "" {
		return v
	}
	return h.Get("llm_provider-" + name)
}

// until reads an HTTP date as the time left to it. The provider's clock may be wrong; its own
// Date tells by how much, and the longer of the two waits is never too early.
func until(value, date string, now time.Time) (time.Duration, bool) {
	at, ok := httpDate(value)
	if !ok {
		return 0, false
	}
	wait := at.Sub(now)
	if sent, ok := httpDate(date); ok {
		wait = max(wait, at.Sub(sent))
	}
	return clamp(wait), true
}

func httpDate(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC1123, time.RFC1123Z, time.RFC850, time.ANSIC, time.RFC3339} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// span reads a length of time: seconds, whole or not, or as Go writes it ("6m0s", "34.07s").
func span(s string) (time.Duration, bool) {
	if d, ok := number(s, time.Second); ok {
		return d, true
	}
	d, err := time.ParseDuration(strings.TrimSpace(s))
	return clamp(d), err == nil
}

// number reads a count of units. It does not overflow: "1e300" is a day, NaN is none.
func number(s string, unit time.Duration) (time.Duration, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if math.IsNaN(f) || err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return time.Duration(math.Round(min(max(f*float64(unit), 0), float64(maxWait)))), true
}

func clamp(d time.Duration) time.Duration { return min(max(d, 0), maxWait) }

// waitText finds the wait in a sentence: "try again in 1m2.5s", "retry after 20 seconds".
//
//nolint:gochecknoglobals // compiled once, never changed
var waitText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:try again|retry|wait)(?:ing)?(?: again)? (?:in |after |for )?` +
		`((?:\d+(?:\.\d+)?\s*` + waitUnits + `\s*(?:(?:,|and)\s*)?)+)`)
})

//nolint:gochecknoglobals // compiled once, never changed
var waitPart = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(\d+(?:\.\d+)?)\s*` + waitUnits)
})

const waitUnits = `(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)`

func messageWait(message string) time.Duration {
	m := waitText().FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	sum := time.Duration(0)
	for _, part := range waitPart().FindAllStringSubmatch(m[1], 8) {
		d, _ := number(part[1], waitUnit(strings.ToLower(part[2])))
		sum = clamp(sum + d)
	}
	return sum
}

func waitUnit(word string) time.Duration {
	switch {
	case word == "ms" || strings.HasPrefix(word, "milli"):
		return time.Millisecond
	case word[0] == 'm':
		return time.Minute
	case word[0] == 'h':
		return time.Hour
	case word[0] == 'd':
		return 24 * time.Hour
	default:
		return time.Second
	}
}

// untilPacificMidnight is when Gemini's daily quotas renew. It is no more than 25 hours away,
// on the day the clocks go back.
func untilPacificMidnight(now time.Time) time.Duration {
	pacific, err := time.LoadLocation("America/Los_Angeles")
	if err != nil { // it is built in; but a day is never too early
		return 25 * time.Hour
	}
	y, m, d := now.In(pacific).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, pacific).Sub(now)
}
