package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in billionths of a US dollar. It is a whole number, so that a million calls
// add up to what they cost.
type Money int64

// Dollar is one US dollar.
const Dollar Money = 1e9

// Dollars rounds an amount in US dollars to billionths.
func Dollars(usd float64) Money { return Money(math.Round(usd * float64(Dollar))) }

// USD is the amount in US dollars, for display and for reports.
func (m Money) USD() float64 { return float64(m) / float64(Dollar) }

// String is the amount with cents, or with as many digits as show anything of it.
func (m Money) String() string {
	digits := 2
	for unit := Dollar / 10; digits < 9 && m != 0 && max(m, -m) < unit; unit /= 10 {
		digits++
	}
	text := strconv.FormatFloat(math.Abs(m.USD()), 'f', digits, 64)
	if m < 0 {
		return "-$" + text
	}
	return "$" + text
}

// maxPrice and maxTokens keep every product within an int64: 2e18 at most.
const (
	maxPrice  = 1000
	maxTokens = 1_000_000_000
)

// Price of a model in US dollars for 1,000,000 tokens, as providers quote it.
type Price struct {
	Input  float64 `json:"input"  yaml:"input"`
	Output float64 `json:"output" yaml:"output"`
	// CachedInput and CacheWrite are for input read from, and written to, the provider's cache.
	// Without one it costs what other input does.
	CachedInput *float64 `json:"cached_input,omitempty" yaml:"cached_input"`
	CacheWrite  *float64 `json:"cache_write,omitempty"  yaml:"cache_write"`
	// MaxOutput is the longest answer of the model in tokens: what a budget reserves for a request
	// that sets no limit. Default DefaultMaxOutput.
	MaxOutput int `json:"max_output,omitempty" yaml:"max_output"`
}

// DefaultMaxOutput is the longest answer, in tokens, of a model that says nothing of it: that of
// the models with the longest at the time of writing.
const DefaultMaxOutput = 128_000

// Validate says what is wrong with a price: it is negative, or no price at all.
func (p Price) Validate() error {
	for _, v := range []float64{p.Input, p.Output, orElse(p.CachedInput, 0), orElse(p.CacheWrite, 0)} {
		if !(v >= 0 && v <= maxPrice) { // a NaN too
			return fmt.Errorf("a price is in USD per 1,000,000 tokens, from 0 to %d", maxPrice)
		}
	}
	if p.MaxOutput < 0 || p.MaxOutput > maxTokens {
		return fmt.Errorf("max_output is a number of tokens")
	}
	return nil
}

// Cost of a call that used so much, rounded up to a billionth of a dollar.
func (p Price) Cost(u Usage) Money {
	rest := max(u.Input-u.Cached-u.CacheWrites, 0)
	pico := rest*pico(p.Input) + u.Cached*pico(orElse(p.CachedInput, p.Input)) +
		u.CacheWrites*pico(orElse(p.CacheWrite, p.Input)) + u.Output*pico(p.Output)
	return Money((pico + 999) / 1000)
}

// Worst is what a call that uses no more tokens than u can cost, whatever of it the provider's
// cache reads or writes.
func (p Price) Worst(u Usage) Money {
	dearest := max(p.Input, orElse(p.CachedInput, 0), orElse(p.CacheWrite, 0))
	return Price{Input: dearest, Output: p.Output}.Cost(u)
}

// pico is the price of one token in trillionths of a dollar, which the smallest prices that are
// quoted are whole numbers of.
func pico(perMillion float64) int64 { return int64(math.Round(perMillion * 1e6)) }

func orElse(v *float64, other float64) float64 {
	if v == nil {
		return other
	}
	return *v
}

// Prices are those of models by name. A name that ends in * stands for all that begin so.
type Prices map[string]Price

// Price finds the price of a model: by its very name, else that of the longest name of which it is
// a dated snapshot, such as gpt-4o-2024-08-06 of gpt-4o, else that of the longest name with a *.
// It says whether there is one. The dearer gpt-4-32k is no snapshot of gpt-4.
func (p Prices) Price(model string) (Price, bool) {
	if price, ok := p[model]; ok {
		return price, true
	}
	best, found := "", false
	for name := range p {
		prefix, wild := strings.CutSuffix(name, "*")
		rest, begins := strings.CutPrefix(model, prefix)
		if !begins || !wild && !isSnapshot(rest) || found && !closer(name, best) {
			continue
		}
		best, found = name, true
	}
	return p[best], found
}

// closer says whether a name tells more of a model than another that fits too.
func closer(name, other string) bool {
	a, b := strings.HasSuffix(name, "*"), strings.HasSuffix(other, "*")
	if a != b {
		return b
	}
	return len(name) > len(other)
}

// isSnapshot tells the end of a snapshot's name: -latest, or a date or a version in digits.
func isSnapshot(rest string) bool {
	if rest == "" || rest[0] != '-' && rest[0] != '@' {
		return false
	}
	version := rest[1:]
	return version == "latest" || len(version) >= 3 && strings.Trim(version, "0123456789-") == ""
}
