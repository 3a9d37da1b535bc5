package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"nightshift/policy"
	"nightshift/producer"
)

// estimateChunk is how many lines one counter takes at a time.
const estimateChunk = 128

// modelEstimate is what the jobs of one model may use. Tokens of pictures, sounds and files are not
// in it: Parts counts those.
type modelEstimate struct {
	Model       string `json:"model"`
	Jobs        int    `json:"jobs"`
	InputTokens int64  `json:"input_tokens"`
	Parts       int    `json:"parts_not_counted,omitempty"`
	// MaxOutputTokens is the most that the answers may have, but for those of Unbounded jobs, which
	// set no limit.
	MaxOutputTokens int64 `json:"max_output_tokens"`
	Unbounded       int   `json:"jobs_without_max_tokens,omitempty"`
	// CostUSD is from no output at all to the most; nil where the model has no price or no limit.
	LeastUSD *float64 `json:"least_usd,omitempty"`
	MostUSD  *float64 `json:"most_usd,omitempty"`
}

func (m *modelEstimate) add(o modelEstimate) {
	m.Jobs += o.Jobs
	m.InputTokens += o.InputTokens
	m.Parts += o.Parts
	m.MaxOutputTokens += o.MaxOutputTokens
	m.Unbounded += o.Unbounded
}

// estimate is what a file may use.
type estimate struct {
	Models []modelEstimate `json:"models"`
	modelEstimate
	Budget *spent `json:"budget,omitempty"`
	// Fits is yes, no, or perhaps: it depends on how long the answers are.
	Fits string `json:"fits,omitempty"`
}

// estimateFile counts a file's tokens and says what they may cost; it starts no broker.
func (a *app) estimateFile(ctx context.Context, src *producer.Source, r producer.Report) error {
	queue := firstOf(a.flags.queue, defaultQueue)
	prices, override := a.priced(queue)
	c := &counting{
		app: a, override: override, prices: prices, queue: a.queueConfig(queue),
		total: map[string]*modelEstimate{},
	}
	if err := c.file(ctx, src, r); err != nil {
		return err
	}
	e := c.sum()
	limit := a.flags.budget.spend()
	if limit == (policy.Spend{}) {
		limit = a.config.Queues[queue].Budget.spend()
	}
	e.judge(limit)
	if a.flags.json {
		if err := json.NewEncoder(a.stdout).Encode(e); err != nil {
			return fmt.Errorf("write standard output: %w", err)
		}
		return nil
	}
	e.print(a.stdout)
	return nil
}

// counting is one look through a file.
type counting struct {
	*app
	override string
	prices   policy.Prices
	queue    queueConfig

	mu    sync.Mutex
	total map[string]*modelEstimate
}

// file has every processor count lines, a chunk at a time, in constant memory.
func (c *counting) file(ctx context.Context, src *producer.Source, r producer.Report) error {
	chunks := make(chan [][]byte)
	var counters sync.WaitGroup
	failed := make([]error, runtime.GOMAXPROCS(0))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range failed {
		counters.Go(func() {
			if failed[i] = c.chunks(chunks); failed[i] != nil {
				cancel()
			}
		})
	}
	err := c.read(ctx, src, r, chunks)
	close(chunks)
	counters.Wait()
	for _, f := range failed {
		if f != nil { // it ended the reading too
			return f
		}
	}
	return err
}

func (c *counting) read(ctx context.Context, src *producer.Source, r producer.Report, chunks chan<- [][]byte) error {
	var chunk [][]byte
	send := func() error {
		select {
		case chunks <- chunk:
			chunk = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for e, err := range src.Entries(ctx, r, c.limits) {
		if err != nil {
			return err
		}
		if e.Err != nil {
			continue
		}
		if chunk = append(chunk, slices.Clone(e.Data)); len(chunk) == estimateChunk {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// chunks counts with vocabularies of its own, which are loaded when the first line needs them.
func (c *counting) chunks(chunks <-chan [][]byte) error {
	t := &tokenCounter{}
	mine := map[string]*modelEstimate{}
	for chunk := range chunks {
		for _, line := range chunk {
			job, err := producer.ParseLine(line)
			if err != nil { // it was valid a moment ago
				return fmt.Errorf("the file changed while it was read: %w", err)
			}
			one, err := c.job(t, job)
			if err != nil {
				return err
			}
			if mine[one.Model] == nil {
				mine[one.Model] = &modelEstimate{Model: one.Model}
			}
			mine[one.Model].add(one)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for model, m := range mine {
		if c.total[model] == nil {
			c.total[model] = &modelEstimate{Model: model}
		}
		c.total[model].add(*m)
	}
	return nil
}

func (c *counting) job(t *tokenCounter, job producer.Job) (modelEstimate, error) {
	r := policy.ReadRequest(job.Body)
	m := modelEstimate{Model: firstOf(c.override, r.Model), Jobs: 1}
	in, parts, err := t.request(m.Model, job.Body)
	m.InputTokens, m.Parts = int64(in), parts
	if !policy.WritesText(job.URL) {
		return m, err
	}
	price, _ := c.prices.Price(m.Model)
	most := firstOf(r.MaxOutput, int64(c.queue.MaxTokens), int64(price.MaxOutput))
	m.MaxOutputTokens = most * r.Choices
	if most == 0 {
		m.Unbounded = 1
	}
	return m, err
}

// sum adds up and prices what was counted.
func (c *counting) sum() *estimate {
	e := &estimate{modelEstimate: modelEstimate{Model: "all"}}
	least, most, priced, bounded := policy.Money(0), policy.Money(0), true, true
	for _, model := range slices.Sorted(maps.Keys(c.total)) {
		m := c.total[model]
		e.add(*m)
		price, ok := c.prices.Price(model)
		priced, bounded = priced && ok, bounded && m.Unbounded == 0
		if ok {
			low := price.Cost(policy.Usage{Input: m.InputTokens})
			high := price.Cost(policy.Usage{Input: m.InputTokens, Output: m.MaxOutputTokens})
			least, most = least+low, most+high
			m.LeastUSD, m.MostUSD = dollars(low, true), dollars(high, m.Unbounded == 0)
		}
		e.Models = append(e.Models, *m)
	}
	e.LeastUSD, e.MostUSD = dollars(least, priced), dollars(most, priced && bounded)
	return e
}

// dollars is an amount for a report, or nil where it is not known.
func dollars(m policy.Money, known bool) *float64 {
	usd := m.USD()
	if !known {
		return nil
	}
	return &usd
}
