package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nightshift/consumer/provider/sim"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got := parse(t, "latency=400ms, sigma=0.5,capacity=64,rpm=600,tpm=200000,seed=7,errors=0.05,"+
		"steps=64@0s/16@20s/128@40s,outage=5s-15s,headers=off,fault=billing,until=3s,key=k=1,closed=2m,"+
		"context=100/ft:gpt-big:1000,")
	want := sim.Config{
		Latency: 400 * time.Millisecond, Sigma: 0.5, Capacity: 64, RPM: 600, TPM: 200000, Seed: 7,
		Errors: 0.05, Steps: []sim.Step{{64, 0}, {16, 20 * time.Second}, {128, 40 * time.Second}},
		Outage: sim.Window{From: 5 * time.Second, To: 15 * time.Second}, HeadersOff: true,
		Fault: "billing", Until: 3 * time.Second, Key: "k=1", Closed: 2 * time.Minute,
		Contexts: []sim.Context{{"", 100}, {"ft:gpt-big", 1000}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"latencey=1s":          `unknown key "latencey"; valid keys: latency, sigma,`,
		"latency":              "latency=: value missing",
		"latency=-1s":          "latency=-1s: want a duration",
		"capacity=many":        "capacity=many: want a whole number",
		"errors=NaN":           "errors=NaN: want a number",
		"errors=0.7,hangs=0.7": "more than 1",
		"bad=1,missing=0.1":    "more than 1",
		"headers=no":           "want on or off",
		"outage=15s-5s":        "want FROM-TO",
		"outage=15s":           "want FROM-TO",
		"steps=64@9s/16@3s":    "in order",
		"overload=500":         "want 429, 503 or 529",
		"outage_status=200":    "want 400 to 599",
		"fault=gremlins":       "want one of insufficient_quota,",
		"rpm=1,rpm=2":          "rpm is given twice",
		"seed=-1":              "seed=-1:",
		"context=big":          "want TOKENS",
		"=1":                   `unknown key ""`,
	} {
		if c, err := sim.Parse(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		} else if diff := cmp.Diff(sim.Config{}, c); diff != "" {
			t.Errorf("%s: not zero on error: %s", spec, diff)
		}
	}
}

func configs() *rapid.Generator[sim.Config] {
	return rapid.Custom(func(t *rapid.T) sim.Config {
		count := func(name string) int { return rapid.IntRange(0, 1<<40).Draw(t, name) }
		span := func(name string) time.Duration {
			return time.Duration(rapid.Int64Min(0).Draw(t, name))
		}
		share := func(name string) float64 { return rapid.Float64Range(0, 1.0/7).Draw(t, name) }
		c := sim.Config{
			Latency: span("latency"), Sigma: rapid.Float64Range(0, 1e6).Draw(t, "sigma"),
			Seed: rapid.Uint64().Draw(t, "seed"), Words: count("words"), Chunk: span("chunk"),
			Capacity: count("capacity"), RPM: count("rpm"), TPM: count("tpm"),
			Overload: rapid.SampledFrom([]int{0, 429, 503, 529}).Draw(t, "overload"),
			Burst:    count("burst"), BurstTokens: count("burst_tokens"),
			HeadersOff:   rapid.Bool().Draw(t, "headers"),
			OutageStatus: rapid.SampledFrom([]int{0, 500, 503}).Draw(t, "outage_status"),
			Closed:       span("closed"), Grace: span("grace"),
			Errors: share("errors"), Hangs: share("hangs"), Resets: share("resets"),
			Half: share("half"), HTML: share("html"), Slow: share("slow"), Garbage: share("garbage"),
			Hang: span("hang"), Trickle: span("trickle"),
			Fault: rapid.SampledFrom(append(sim.Faults(), "")).Draw(t, "fault"), Until: span("until"),
			Key: rapid.StringMatching(`[A-Za-z0-9=_-]{0,20}`).Draw(t, "key"),
			Bad: share("bad"), Missing: share("missing"),
		}
		if rapid.Bool().Draw(t, "outage") {
			c.Outage.From = time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "from"))
			c.Outage.To = c.Outage.From + 1 + time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "to"))
		}
		var at time.Duration
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			c.Steps = append(c.Steps, sim.Step{Capacity: count("step"), At: at})
			at += 1 + time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "at"))
		}
		return c
	})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := configs().Draw(t, "config")
		got, err := sim.Parse(want.String())
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", want, diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("latency=400ms,sigma=0.5,steps=1@0s/2@3s,outage=1s-2s,headers=off,errors=1e-3")
	f.Fuzz(func(t *testing.T, spec string) {
		c, err := sim.Parse(spec)
		if err != nil {
			return
		}
		again, err := sim.Parse(c.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", spec, c, err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
