package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// reportEvery is how often progress is logged where there is no terminal.
const reportEvery = 10 * time.Second

// progress shows how far a run is: a moving line on a terminal, a log line now and then
// elsewhere.
type progress struct {
	app    *app
	bars   *mpb.Progress
	bar    *mpb.Bar
	mu     sync.Mutex
	batch  producer.Batch
	full   bool
	ended  int
	dead   int
	stats  consumer.Stats
	rate   float64 // endings a second, smoothed
	looked time.Time
	logged time.Time
}

func newProgress(a *app) *progress {
	p := &progress{app: a, logged: time.Now()}
	if !isTerminal(a.stderr) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(20), mpb.WithAutoRefresh())
	p.bar = p.bars.New(0, mpb.BarStyle().Lbound("").Rbound("").Filler("█").Tip("").Padding("░"),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + p.line() })), mpb.BarRemoveOnComplete())
	return p
}

func (p *progress) submitted(b producer.Batch, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batch, p.full = b, full
}

func (p *progress) counts(c consumer.Counts, s consumer.Stats) {
	p.mu.Lock()
	now := time.Now()
	if !p.looked.IsZero() {
		if dt := now.Sub(p.looked).Seconds(); dt > 0 {
			p.rate += (float64(c.Ended()-p.ended)/dt - p.rate) * min(dt/5, 1)
		}
	}
	p.looked, p.ended, p.dead, p.stats = now, c.Ended(), c.Dead, s
	total, due := p.batch.Total, now.Sub(p.logged) >= reportEvery
	if due {
		p.logged = now
	}
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.SetTotal(int64(total)+1, false) // it is complete only when close says so
		p.bar.SetCurrent(int64(c.Ended()))
	} else if due {
		p.app.log.Info().Msg(p.line())
	}
}

// line is the state in one line that fits beside a bar in 80 columns.
func (p *progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var flight int
	for _, s := range p.stats.Providers {
		flight += s.InFlight
	}
	parts := []string{fmt.Sprintf("%s/%s", thousands(p.ended), thousands(p.batch.Total))}
	if p.dead > 0 {
		parts = append(parts, thousands(p.dead)+" dead")
	}
	if why := p.waiting(); why != "" {
		parts = append(parts, why)
	} else {
		parts = append(parts, fmt.Sprintf("%d in flight", flight), fmt.Sprintf("%.0f/s", p.rate))
		if left := p.batch.Total - p.ended; p.rate > 0.1 && left > 0 {
			parts = append(parts, shortDuration(time.Duration(float64(left)/p.rate*float64(time.Second)))+" left")
		}
	}
	return strings.Join(parts, " · ")
}

// waiting says what stands in the way, if anything does.
func (p *progress) waiting() string {
	if p.full {
		return "queue full"
	}
	for _, s := range p.stats.Providers {
		switch {
		case s.Hold != nil:
			return "held: " + string(s.Hold.Class)
		case s.Reason != "" && time.Until(s.Until) > time.Second:
			return s.Reason + ", " + shortDuration(time.Until(s.Until))
		}
	}
	return ""
}

func (p *progress) close() {
	if p.bar != nil {
		p.bar.SetTotal(-1, true)
		p.bar.Abort(true)
		p.bars.Wait()
	}
}

func printHold(w interface{ Write([]byte) (int, error) }, h *policy.Hold) {
	printf(w, "provider %s is held: %s", h.Provider, strings.ReplaceAll(string(h.Class), "_", " "))
	if h.Status != 0 {
		printf(w, ", status %d", h.Status)
	}
	if h.Code != "" {
		printf(w, ", code %s", h.Code)
	}
	if h.Words != "" {
		printf(w, "\nit says: %s", h.Words)
	}
	printf(w, "\n%s: %s\n", h.Owner, h.Remedy)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// shortDuration writes a time to wait for as people say it: 45s, 12m, 3h20m, 2d4h.
func shortDuration(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
