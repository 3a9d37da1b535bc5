package main

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// elsewhere is the label of all queues that are not worked here: of single runs, which have one
// each, and of misspelt names. No queue can be called so.
const elsewhere = "(other)"

// scrape reads the state of providers, queues and store when it is asked for.
type scrape struct {
	server  *server
	metrics *metrics
}

// Describe gives nothing: what there is depends on what is configured and reachable.
func (s *scrape) Describe(chan<- *prometheus.Desc) {}

// Collect reads the state.
func (s *scrape) Collect(out chan<- prometheus.Metric) {
	w := &writer{out: out}
	w.gauge("info", "The version of this process; always 1.", 1, pair{"version", version()})
	w.gauge("ready", "1 while this process pulls jobs.", truth(s.server.ready.Load() && !s.server.leaving.Load()))
	working := s.server.current() != nil
	if working {
		s.providers(w)
	}
	from := s.server.session.Load()
	up := from != nil && s.server.brokerAnswers(context.Background()) == nil
	w.gauge("broker_up", "1 while the broker answers.", truth(up))
	if !up || !working {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWait)
	defer cancel()
	failed := 0.0
	for _, read := range []func(context.Context, *writer, *session) error{s.queues, s.dead, s.sizes, s.held} {
		if read(ctx, w, from) != nil {
			failed++
		}
	}
	w.gauge("scrape_errors", "How many parts of the store could not be read for this scrape.", failed)
}

// providers are as this process sees them; of several processes each has its part of the limits.
func (s *scrape) providers(w *writer) {
	now, lost, shut := s.server.counted()
	w.counter("leases_lost_total", "Jobs in hand here that another worker may have got, as no sign of life came through.", float64(lost))
	for name, p := range now.Providers {
		provider := pair{"provider", name}
		w.gauge("provider_in_flight_calls", "Calls in flight.", float64(p.InFlight), provider)
		w.gauge("provider_window_calls", "Calls that may be in flight now.", float64(p.Window), provider)
		w.gauge("provider_ceiling_calls", "Calls that may ever be in flight: this process's part of the limit.", float64(p.Ceiling), provider)
		w.gauge("provider_requests_per_minute", "The pace of calls now in force; 0 where nothing limits it.", p.Requests.PerMinute, provider)
		w.gauge("provider_tokens_per_minute", "The pace of tokens now in force; 0 where nothing limits it.", p.Tokens.PerMinute, provider)
		w.gauge("provider_gate_shut", "1 while the provider asked to be left alone.", truth(time.Until(p.Gate) > 0), provider)
		w.counter("provider_gate_shut_seconds_total", "For how long that was so.", shut[name].Seconds(), provider)
		w.gauge("provider_outage", "1 while the breaker is not closed, as calls failed in a row.", truth(p.Breaker != "closed"), provider)
		w.gauge("provider_held", "1 while the provider is at rest until somebody acts.", truth(p.Hold != nil), provider)
		if p.Hold != nil {
			w.gauge("provider_hold_info", "Why the provider is held; always 1.", 1, provider, pair{"class", string(p.Hold.Class)})
			w.gauge("provider_hold_start_timestamp_seconds", "When the hold began.", float64(p.Hold.Since.UnixMilli())/1000, provider)
		}
	}
}

// queueSum is what one label of the queues holds.
type queueSum struct {
	queued, running, waiting int
	oldest                   time.Time
}

func (s *scrape) queues(ctx context.Context, w *writer, from *session) error {
	lanes, err := from.store.Lanes(ctx)
	if err != nil {
		return err
	}
	workers, err := from.store.Workers(ctx)
	if err != nil {
		return err
	}
	sums := map[string]*queueSum{elsewhere: {}}
	for _, name := range s.server.current().queues {
		sums[name] = &queueSum{}
	}
	for _, l := range lanes {
		sum := sums[l.Queue]
		if sum == nil {
			sum = sums[elsewhere]
		}
		running := min(consumer.Running(workers, l.Queue, l.Batch), l.Held)
		sum.queued, sum.running, sum.waiting = sum.queued+l.Queued, sum.running+running, sum.waiting+l.Held-running
		if l.Queued+l.Held == 0 {
			continue
		}
		oldest, err := from.store.Oldest(ctx, l)
		if err != nil {
			return err
		}
		if sum.oldest.IsZero() || !oldest.IsZero() && oldest.Before(sum.oldest) {
			sum.oldest = oldest
		}
	}
	for name, sum := range sums {
		sum.write(w, pair{"queue", name})
	}
	return nil
}

func (q *queueSum) write(w *writer, queue pair) {
	const help = "Jobs in the queue: queued to be pulled, running, or waiting for their next try."
	w.gauge("queue_jobs", help, float64(q.queued), queue, pair{"state", "queued"})
	w.gauge("queue_jobs", help, float64(q.running), queue, pair{"state", "running"})
	w.gauge("queue_jobs", help, float64(q.waiting), queue, pair{"state", "waiting"})
	age := 0.0
	if !q.oldest.IsZero() {
		age = time.Since(q.oldest).Seconds()
	}
	w.gauge("queue_oldest_job_seconds", "The age of the oldest job in the queue; 0 when it is empty.", age, queue)
}

func (s *scrape) dead(ctx context.Context, w *writer, from *session) error {
	byClass, err := from.store.DeadByClass(ctx)
	if err != nil {
		return err
	}
	for _, class := range policy.Classes() {
		w.gauge("dead_letters", "Dead letters in the store, without discarded ones.", float64(byClass[class]), pair{"class", string(class)})
	}
	return nil
}

// sizes are those of our streams; a cluster may have others.
func (s *scrape) sizes(ctx context.Context, w *writer, from *session) error {
	list := from.js.ListStreams(ctx)
	for info := range list.Info() {
		if name := info.Config.Name; ownStream(name) {
			w.gauge("store_bytes", "How much the messages of a stream take in the store.", float64(info.State.Bytes), pair{"stream", name})
			w.gauge("store_messages", "Messages in a stream of the store.", float64(info.State.Msgs), pair{"stream", name})
		}
	}
	if most := from.broker.MaxStore(); most > 0 {
		w.gauge("store_limit_bytes", "How much the store may take.", float64(most))
	}
	return list.Err()
}

func ownStream(stream string) bool {
	switch strings.TrimPrefix(stream, "KV_") {
	case producer.Stream, consumer.ResultsStream, consumer.DeadStream, producer.Bucket, "HISTORY", "FLEET":
		return true
	}
	return false
}

// held are the pauses by what they stop, without the names of batches.
func (s *scrape) held(ctx context.Context, w *writer, from *session) error {
	all, err := from.store.Pauses(ctx)
	n := map[consumer.PauseScope]int{consumer.PauseQueue: 0, consumer.PauseProvider: 0, consumer.PauseBatch: 0}
	budgets := 0
	for _, p := range all {
		n[p.Scope]++
		if consumer.OfBudget(p) {
			budgets++
		}
	}
	for scope, count := range n {
		w.gauge("pauses", "Pauses in force, by what they stop.", float64(count), pair{"scope", string(scope)})
	}
	w.gauge("budget_pauses", "Pauses in force that a budget brought about.", float64(budgets))
	return err
}

// writer makes metrics as they are found.
type writer struct{ out chan<- prometheus.Metric }

type pair struct{ name, value string }

func (w *writer) gauge(name, help string, v float64, labels ...pair) {
	w.put(prometheus.GaugeValue, name, help, v, labels)
}

func (w *writer) counter(name, help string, v float64, labels ...pair) {
	w.put(prometheus.CounterValue, name, help, v, labels)
}

func (w *writer) put(kind prometheus.ValueType, name, help string, v float64, labels []pair) {
	names, values := make([]string, len(labels)), make([]string, len(labels))
	for i, l := range labels {
		names[i], values[i] = l.name, l.value
	}
	d := prometheus.NewDesc("nightshift_"+name, help, names, nil)
	w.out <- prometheus.MustNewConstMetric(d, kind, v, values...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
