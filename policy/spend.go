package policy

// Spend is what calls use: money and tokens. In a limit, zero means that it has none of the kind.
type Spend struct {
	Money  Money `json:"nano_usd,omitempty"`
	Tokens int64 `json:"tokens,omitempty"`
}

// Plus adds both.
func (a Spend) Plus(b Spend) Spend { return Spend{a.Money + b.Money, a.Tokens + b.Tokens} }

// Minus takes b away from a.
func (a Spend) Minus(b Spend) Spend { return Spend{a.Money - b.Money, a.Tokens - b.Tokens} }

// Of is the part of the amount that a limit counts.
func (a Spend) Of(limit Spend) Spend {
	if limit.Money == 0 {
		a.Money = 0
	}
	if limit.Tokens == 0 {
		a.Tokens = 0
	}
	return a
}

// covers says whether need can be taken out of a.
func (a Spend) covers(need Spend) bool { return need.Money <= a.Money && need.Tokens <= a.Tokens }

func (a Spend) positive() Spend { return Spend{max(a.Money, 0), max(a.Tokens, 0)} }

func (a Spend) atLeast(b Spend) Spend { return Spend{max(a.Money, b.Money), max(a.Tokens, b.Tokens)} }

// Tally is what calls came to.
type Tally struct {
	// Spent is what they used, Wasted the part of it that calls without an answer did.
	Spent  Spend `json:"spent"`
	Wasted Spend `json:"wasted"`
	// Calls counts those that cost something, Unknown those among them that did not say what:
	// they stand in Spent and Wasted with the most they can have used.
	Calls   int64 `json:"calls"`
	Unknown int64 `json:"unknown,omitempty"`
}

// Plus adds two tallies.
func (t Tally) Plus(u Tally) Tally {
	return Tally{t.Spent.Plus(u.Spent), t.Wasted.Plus(u.Wasted), t.Calls + u.Calls, t.Unknown + u.Unknown}
}

// overdrawn says whether an amount is below zero where the limit counts.
func overdrawn(left, limit Spend) bool {
	return limit.Money > 0 && left.Money < 0 || limit.Tokens > 0 && left.Tokens < 0
}
