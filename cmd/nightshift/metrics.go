package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"nightshift/consumer"
	"nightshift/policy"
)

// metrics is what /metrics shows: what this process counted since it began, and what the store and
// the providers are when it is scraped. Its labels are names of the configuration and words of this
// program, never of jobs or batches.
type metrics struct {
	registry *prometheus.Registry

	calls      *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	jobs       *prometheus.CounterVec
	handedBack *prometheus.CounterVec
	tokens     *prometheus.CounterVec
	cost       *prometheus.CounterVec
	wasted     *prometheus.CounterVec
	avoided    prometheus.Counter
	doubled    prometheus.Counter
	reloads    *prometheus.CounterVec

	// What shifts counted that are over, or only end their calls. The server's lock guards it.
	leasesLost int64
	gateShut   map[string]time.Duration
}

// answered is the class of a call without a fault.
const answered = "answered"

func newMetrics(v *server) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nightshift_" + name, Help: help}, labels)
	}
	single := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "nightshift_" + name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls:    counter("calls_total", "Calls that came to an end, by what they came to: answered, or the class of the fault.", "provider", "class"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nightshift_call_duration_seconds", Help: "How long answered calls took.",
			Buckets: []float64{.1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 240, 600},
		}, []string{"provider"}),
		jobs:       counter("jobs_total", "Jobs that ended here: answered, dead or cancelled.", "queue", "outcome"),
		handedBack: counter("jobs_handed_back_total", "Jobs that wait for their next try (later), or that another worker may have at once (returned).", "queue", "outcome"),
		tokens:     counter("tokens_total", "Tokens of answers, as the provider counts them.", "provider", "direction"),
		cost:       counter("cost_usd_total", "What the answers cost, of models that have a price.", "provider"),
		wasted:     counter("wasted_usd_total", "What calls cost at most that gave no answer.", "provider"),
		avoided:    single("duplicates_avoided_total", "Deliveries of jobs that had ended before, and were not called again."),
		doubled:    single("duplicate_calls_total", "Answers to jobs that another worker had ended before."),
		reloads:    counter("config_reloads_total", "SIGHUPs, by whether the configuration was used.", "result"),
		gateShut:   map[string]time.Duration{},
	}
	m.registry.MustRegister(
		m.calls, m.durations, m.jobs, m.handedBack, m.tokens, m.cost, m.wasted, m.avoided, m.doubled, m.reloads,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&scrape{server: v, metrics: m},
	)
	return m
}

// Called counts a call.
func (m *metrics) Called(account string, class policy.Class, took time.Duration) {
	if class == "" {
		class = answered
		m.durations.WithLabelValues(account).Observe(took.Seconds())
	}
	m.calls.WithLabelValues(account, string(class)).Inc()
}

// Settled counts what became of a delivery.
func (m *metrics) Settled(s consumer.Settled) {
	if s.Wasted > 0 {
		m.wasted.WithLabelValues(s.Account).Add(s.Wasted.USD())
	}
	switch s.Outcome {
	case consumer.SettledAnswered, consumer.SettledDead, consumer.SettledCancelled:
		m.jobs.WithLabelValues(s.Queue, string(s.Outcome)).Inc()
	case consumer.SettledLater, consumer.SettledReturned:
		m.handedBack.WithLabelValues(s.Queue, string(s.Outcome)).Inc()
	case consumer.SettledDuplicate:
		m.avoided.Inc()
	case consumer.SettledDoubled:
		m.doubled.Inc()
	}
	if s.Outcome != consumer.SettledAnswered {
		return
	}
	m.tokens.WithLabelValues(s.Account, "input").Add(float64(s.InputTokens))
	m.tokens.WithLabelValues(s.Account, "output").Add(float64(s.OutputTokens))
	m.cost.WithLabelValues(s.Account).Add(s.Cost.USD())
}

// retire keeps for how long gates were shut while a shift pulled that now only ends its calls.
func (m *metrics) retire(s consumer.Stats) {
	for name, p := range s.Providers {
		m.gateShut[name] += p.Shut
	}
}

// reloaded counts a SIGHUP.
func (m *metrics) reloaded(ok bool) {
	result := "used"
	if !ok {
		result = "refused"
	}
	m.reloads.WithLabelValues(result).Inc()
}
