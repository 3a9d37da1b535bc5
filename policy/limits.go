package policy

import (
	"math"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Amount is a number a header gave. The zero Amount is one it did not give, which is not 0.
type Amount struct {
	N     int64
	Known bool
}

// Limit is one of a provider's limits as its headers show it.
type Limit struct {
	// Max is how much the provider allows in one period, Remaining how much of it is left.
	Max, Remaining Amount
	// Reset is the time left until the limit is whole again, at most 24 hours; 0 when it is,
	// or when the provider does not say.
	Reset time.Duration
	// Per is the period of Max: a minute, but a second where the provider counts so. It is 0
	// where Max is not known.
	Per time.Duration
}

// Limits are what a reply's headers say of the provider's limits. Input and Output are limits
// on tokens of the prompt and of the answer, Tokens one on both together.
type Limits struct {
	Requests, Tokens, Input, Output Limit
}

// ParseLimits reads the header dialects of OpenAI, Azure, Anthropic, LiteLLM, Fireworks and
// Mistral. What is absent, or cannot be, such as the -1 of Azure, stays unknown.
func ParseLimits(h textproto.MIMEHeader, now time.Time) Limits {
	if len(h) == 0 {
		return Limits{}
	}
	return Limits{
		Requests: tightest(openAI(h, "Requests", now), anthropic(h, "Requests", now), mistral(h, now)),
		Tokens: tightest(openAI(h, "Tokens", now), openAI(h, "Project-Tokens", now),
			anthropic(h, "Tokens", now)),
		Input:  tightest(anthropic(h, "Input-Tokens", now), fireworks(h, "Tokens-Prompt", now)),
		Output: tightest(anthropic(h, "Output-Tokens", now), fireworks(h, "Tokens-Generated", now)),
	}
}

func openAI(h textproto.MIMEHeader, of string, now time.Time) Limit {
	const p = "X-Ratelimit-"
	return limit(header(h, p+"Limit-"+of), header(h, p+"Remaining-"+of), header(h, p+"Reset-"+of), now)
}

func anthropic(h textproto.MIMEHeader, of string, now time.Time) Limit {
	p := "Anthropic-Ratelimit-" + of
	return limit(header(h, p+"-Limit"), header(h, p+"-Remaining"), header(h, p+"-Reset"), now)
}

// fireworks names its limits as OpenAI does, but counts tokens by the second.
func fireworks(h textproto.MIMEHeader, of string, now time.Time) Limit {
	l := openAI(h, of, now)
	if l.Max.Known {
		l.Per = time.Second
	}
	return l
}

// mistral counts requests by the second.
func mistral(h textproto.MIMEHeader, now time.Time) Limit {
	const p = "X-Ratelimit-"
	l := limit(header(h, p+"Limit"), header(h, p+"Remaining"), header(h, p+"Reset"), now)
	if l.Max.Known {
		l.Per = time.Second
	}
	return l
}

func limit(most, left, reset string, now time.Time) Limit {
	l := Limit{Max: amount(most), Remaining: amount(left), Reset: resetIn(reset, now)}
	if most != "" && (!l.Max.Known || l.Max.N == 0) {
		return Limit{} // Azure sends -1 or 0 for "no such limit": then nothing is left of none
	}
	if l.Max.Known {
		l.Per = time.Minute
	}
	return l
}

// amount reads a count; a negative one is unknown.
func amount(s string) Amount {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || f < 0 || math.IsNaN(f) {
		return Amount{}
	}
	return Amount{N: int64(min(f, 1<<53)), Known: true}
}

// resetIn reads a reset: a length of time (OpenAI, Azure), a moment (Anthropic), or a moment in
// seconds or milliseconds since 1970.
func resetIn(s string, now time.Time) time.Duration {
	if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && f > 1e9 {
		if f > 1e12 {
			f /= 1e3
		}
		return clamp(time.Unix(int64(min(f, 1e11)), 0).Sub(now))
	}
	if d, ok := span(s); ok {
		return d
	}
	d, _ := until(s, "", now)
	return d
}

// tightest is the known limit with the least remaining: the one that will refuse first.
func tightest(limits ...Limit) Limit {
	best := limits[0]
	for _, l := range limits[1:] {
		unknown := !best.Max.Known && !best.Remaining.Known
		closer := l.Remaining.Known && (!best.Remaining.Known || l.Remaining.N < best.Remaining.N)
		if unknown || closer {
			best = l
		}
	}
	return best
}

// exhausted is the longest reset of the limits that have nothing remaining.
func (l Limits) exhausted() time.Duration {
	wait := time.Duration(0)
	for _, one := range []Limit{l.Requests, l.Tokens, l.Input, l.Output} {
		if one.Remaining.Known && one.Remaining.N == 0 {
			wait = max(wait, one.Reset)
		}
	}
	return wait
}
