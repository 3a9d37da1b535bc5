package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nightshift/policy"
)

// reserved is a call under way.
type reserved struct {
	purse *policy.Purse
	worst policy.Spend
}

func drawSpend(t *rapid.T, name string, most int64) policy.Spend {
	return policy.Spend{
		Money:  policy.Money(rapid.Int64Range(0, most).Draw(t, name+" money")),
		Tokens: rapid.Int64Range(0, most).Draw(t, name+" tokens"),
	}
}

// within says whether what is spent keeps to what a limit counts.
func within(spent, limit policy.Spend) bool {
	return (limit.Money == 0 || spent.Money <= limit.Money) && (limit.Tokens == 0 || spent.Tokens <= limit.Tokens)
}

// fund is a budget in a store, the purses of its workers, and the truth about what they spent.
type fund struct {
	record policy.Budget
	purses map[string]*policy.Purse
	calls  []reserved
	deaths int
	truth  policy.Spend
}

// refill is what a worker does whose advance is used up; stored is false for a worker that never
// hears whether it was.
func (f *fund) refill(worker string, worst policy.Spend, heard bool) {
	p := f.purses[worker]
	missing, _, ok := p.Reserve(worst)
	if ok {
		f.calls = append(f.calls, reserved{p, worst})
		return
	}
	got, ok := f.record.Grant(worker, p.Share(time.Time{}), missing)
	if !ok || !heard {
		return
	}
	p.Fill(got, f.record.Cap)
	if _, _, ok := p.Reserve(worst); ok {
		f.calls = append(f.calls, reserved{p, worst})
	}
}

// step does one thing that may happen.
func (f *fund) step(t *rapid.T) {
	worker := strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "worker"))
	p := f.purses[worker]
	switch op := rapid.IntRange(0, 7).Draw(t, "op"); {
	case op == 0: // what was used is written down, and the rest given back
		p.Trim()
		f.record.Put(worker, p.Share(time.Time{}))
	case op == 1 && len(f.calls) > 0:
		c := f.calls[0]
		f.calls = f.calls[1:]
		used := policy.Spend{
			Money:  policy.Money(rapid.Int64Range(0, int64(c.worst.Money)).Draw(t, "used money")),
			Tokens: rapid.Int64Range(0, c.worst.Tokens).Draw(t, "used tokens"),
		}
		f.truth = f.truth.Plus(used)
		c.purse.Settle(c.worst, used, true)
	case op == 2: // kill -9: nobody will ever know
		for _, c := range f.calls {
			if c.purse == p {
				f.truth = f.truth.Plus(c.worst)
			}
		}
		f.calls = deleteCalls(f.calls, p)
		f.purses[worker] = &policy.Purse{}
		f.deaths++ // the next worker has another name
		f.record.Put(fmt.Sprint("dead ", f.deaths), f.record.Workers[worker])
		delete(f.record.Workers, worker)
	case op == 3: // the limit is moved
		before := f.record
		if err := f.record.Raise(drawSpend(t, "limit", 100_000)); err != nil &&
			(!errors.Is(err, policy.ErrBelowSpent) || f.record.Cap != before.Cap) {
			t.Fatalf("Raise: %v, %+v", err, f.record)
		}
	default:
		f.refill(worker, drawSpend(t, "worst", 3000), rapid.IntRange(0, 9).Draw(t, "heard") > 0)
	}
}

func deleteCalls(calls []reserved, p *policy.Purse) (rest []reserved) {
	for _, c := range calls {
		if c.purse != p {
			rest = append(rest, c)
		}
	}
	return rest
}

// Whatever workers do, and however they end, what was really spent never exceeds the limit, nor
// what the record admits of.
func TestBudgetLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &fund{purses: map[string]*policy.Purse{"0": {}, "1": {}, "2": {}}}
		f.record.Cap = policy.Spend{Money: 1 + drawSpend(t, "cap", 50_000).Money}
		if rapid.Bool().Draw(t, "both") {
			f.record.Cap.Tokens = 1 + drawSpend(t, "cap", 50_000).Tokens
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			capped := f.record.Cap
			f.step(t)
			if f.record.Cap.Tokens > 0 && capped.Tokens == 0 {
				return // what was in flight when a new kind of limit came is not under it
			}
			worst := f.truth
			for _, c := range f.calls {
				worst = worst.Plus(c.worst)
			}
			if !within(worst, f.record.Cap) {
				t.Fatalf("spent %+v of %+v: %+v", worst, f.record.Cap, f.record)
			}
			if said := f.record.Used().Spent.Plus(f.record.Advanced(nil)); !within(said, f.record.Cap) {
				t.Fatalf("the record says %+v of %+v", said, f.record.Cap)
			}
		}
	})
}

// A worker that leaves takes its advance back and what it used is kept, however often it says so.
func TestBudgetLeave(t *testing.T) {
	t.Parallel()
	b := policy.Budget{Cap: policy.Spend{Money: 1000}}
	var p policy.Purse
	got, ok := b.Grant("w", p.Share(time.Now()), policy.Spend{Money: 100})
	if !ok || got.Money != 100 {
		t.Fatalf("granted %+v %v", got, ok)
	}
	p.Fill(got, b.Cap)
	worst := policy.Spend{Money: 60, Tokens: 7}
	if _, _, ok := p.Reserve(worst); !ok {
		t.Fatal("no reservation")
	}
	p.Settle(worst, policy.Spend{Money: 40, Tokens: 5}, true)
	p.Waste(policy.Spend{Money: 40, Tokens: 5})
	for range 2 {
		b.Leave("w", p.Share(time.Now()).Tally)
	}
	want := policy.Tally{Spent: policy.Spend{Money: 40, Tokens: 5}, Wasted: policy.Spend{Money: 40, Tokens: 5}, Calls: 1}
	if b.Used() != want || len(b.Workers) != 0 {
		t.Errorf("%+v", b)
	}
	if !b.Exhausted(policy.Spend{Money: 961}, nil) || b.Exhausted(policy.Spend{Money: 960}, nil) {
		t.Errorf("exhausted is wrong: %+v", b)
	}
}

func TestPriceOfModel(t *testing.T) {
	t.Parallel()
	prices := policy.Prices{
		"gpt-4o": {Input: 2.5, Output: 10}, "gpt-4o-mini": {Input: .15, Output: .6}, "gpt-4": {Input: 30, Output: 60},
		"local-*": {}, "local-big*": {Input: 1},
	}
	for model, want := range map[string]float64{
		"gpt-4o": 2.5, "gpt-4o-2024-08-06": 2.5, "gpt-4o-mini-2024-07-18": .15, "gpt-4o-latest": 2.5, "gpt-4-0613": 30,
		"gpt-4o@20240806": 2.5, "local-x": 0, "local-bigger": 1,
		"gpt-4o-audio": -1, "gpt-4-32k": -1, "gpt-4.1": -1, "": -1, "gpt-4o-": -1,
	} {
		price, ok := prices.Price(model)
		if ok != (want >= 0) || ok && price.Input != want {
			t.Errorf("%q: %+v %v, want %v", model, price, ok, want)
		}
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	cached := .075
	price := policy.Price{Input: .15, Output: .6, CachedInput: &cached}
	var sum policy.Money
	for range 1_000_000 {
		sum += price.Cost(policy.Usage{Input: 100, Cached: 40, Output: 10})
	}
	// 60 x 0.15 + 40 x 0.075 + 10 x 0.60 = 18 USD for a million such calls, to the billionth.
	if sum != 18*policy.Dollar {
		t.Errorf("%v", sum)
	}
	if got := price.Worst(policy.Usage{Input: 100, Cached: 40, Output: 10}); got != 21_000 {
		t.Errorf("worst %d", got)
	}
	for m, want := range map[policy.Money]string{
		0: "$0.00", policy.Dollars(1234.5): "$1234.50", 1: "$0.000000001", policy.Dollars(.0123): "$0.012", -policy.Dollar: "-$1.00",
	} {
		if m.String() != want {
			t.Errorf("%d: %s, want %s", m, m, want)
		}
	}
	for _, bad := range []policy.Price{{Input: -1}, {Output: 2000}, {MaxOutput: -1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

func TestReadUsage(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]policy.Usage{
		`{"choices":[],"usage":{"prompt_tokens":15,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3,"cache_creation_tokens":2}}}`:  {Input: 15, Cached: 3, CacheWrites: 2, Output: 5},
		`{"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":1},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1}}}`: {Input: 7, Cached: 1, Output: 2},
		`{"usage":{"prompt_tokens":1e99,"completion_tokens":-4}}`:                                                                                  {Input: 1_000_000_000},
		`{"usage":null}`: {}, `{"usage":{}}`: {}, `{"us`: {}, ``: {}, `[]`: {},
	} {
		if got, known := policy.ReadUsage([]byte(body)); got != want || known != (want != policy.Usage{}) {
			t.Errorf("%s: %+v %v", body, got, known)
		}
	}
}

// A record of before is read as it was written.
func TestBudgetJSON(t *testing.T) {
	t.Parallel()
	text := `{"cap":{"nano_usd":20000000000},"gone":{"spent":{"nano_usd":5,"tokens":6},"wasted":{},"calls":1},` +
		`"workers":{"w-1":{"spent":{},"wasted":{},"calls":0,"advance":{"nano_usd":9},"at":"2026-01-02T03:04:05Z"}}}`
	var b policy.Budget
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(b); err != nil || string(got) != text {
		t.Errorf("%s %v", got, err)
	}
}

func TestWorstUsage(t *testing.T) {
	t.Parallel()
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"hello"}],"max_completion_tokens":20,"n":3}`)
	r := policy.ReadRequest(body)
	if r.Model != "m" || r.MaxOutput != 20 || r.Choices != 3 {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		path    string
		r       policy.Request
		longest int
		out     int64
	}{
		{"/v1/chat/completions", r, 0, 60},
		{"/v1/embeddings", r, 0, 0},
		{"/v1/chat/completions", policy.Request{Choices: 1}, 4096, 4096},
		{"/v1/chat/completions", policy.Request{Choices: 2}, 0, 2 * policy.DefaultMaxOutput},
	} {
		if got := policy.WorstUsage(c.path, body, c.r, c.longest); got.Output != c.out || got.Input < int64(len(body)) {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
