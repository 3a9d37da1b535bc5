package main

import (
	"fmt"
	"io"
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
	app      *app
	screen   *screen
	bars     *mpb.Progress
	bar      *mpb.Bar
	mu       sync.Mutex
	total    int
	full     bool
	stopping bool
	ended    int
	dead     int
	live     func() consumer.Stats
	rate     float64 // endings a second, smoothed
	started  time.Time
	looked   time.Time
	logged   time.Time
	told     time.Time // the beginning of the hold that was shown
}

func newProgress(a *app, total int, live func() consumer.Stats) *progress {
	p := &progress{app: a, total: total, live: live, started: time.Now(), logged: time.Now()}
	s, ok := a.stderr.(*screen)
	if !ok || !isTerminal(s) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(s.out), mpb.WithWidth(20), mpb.WithAutoRefresh())
	p.bar = p.bars.New(0, mpb.BarStyle().Lbound("").Rbound("").Filler("█").Tip("").Padding("░"),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.line() })), mpb.BarRemoveOnComplete())
	s.setBar(p.bars)
	p.screen = s
	return p
}

func (p *progress) submitted(b producer.Batch, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total, p.full = b.Total, full
}

func (p *progress) counts(c consumer.Counts, s consumer.Stats) {
	p.mu.Lock()
	now := time.Now()
	if !p.looked.IsZero() {
		if dt := now.Sub(p.looked).Seconds(); dt > 0 {
			p.rate += (float64(c.Ended()-p.ended)/dt - p.rate) * min(dt/5, 1)
		}
	}
	p.looked, p.ended, p.dead = now, c.Ended(), c.Dead
	total, due := p.total, now.Sub(p.logged) >= reportEvery
	if due {
		p.logged = now
	}
	p.mu.Unlock()
	if p.bar == nil {
		if due {
			p.app.log.Info().Msg(p.line())
		}
		return
	}
	p.bar.SetTotal(int64(total)+1, false) // it is complete only when close says so
	p.bar.SetCurrent(int64(c.Ended()))
	for _, provider := range s.Providers {
		if provider.Hold != nil && ours(provider, s, p.started) {
			p.tell(provider.Hold)
		}
	}
}

// ours says whether a hold is news: one that began after start, or that a call of ours has not
// ended. Whoever runs a command again has perhaps mended what the old one is for.
func ours(p policy.State, s consumer.Stats, start time.Time) bool {
	return p.Hold.Since.After(start) || s.Calls > 0 && p.InFlight == 0
}

// tell shows a hold, once.
func (p *progress) tell(h *policy.Hold) {
	p.mu.Lock()
	known := p.told.Equal(h.Since)
	p.told = h.Since
	p.mu.Unlock()
	if !known {
		printf(p.app.stderr, "%s", holdText(h))
	}
}

// stop says that nothing new is begun.
func (p *progress) stop() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	if p.bar != nil {
		printf(p.screen, "\r") // the terminal has written ^C
	}
	printf(p.app.stderr, "stopping: calls in flight have %s to finish; interrupt again to leave now\n",
		shortDuration(p.app.flags.grace))
}

// line is the state in one line that fits beside a bar in 80 columns.
func (p *progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.live()
	parts := []string{fmt.Sprintf("%s/%s", thousands(p.ended), thousands(p.total))}
	if p.dead > 0 {
		parts = append(parts, thousands(p.dead)+" dead")
	}
	if why := p.waiting(stats); why != "" {
		return strings.Join(append(parts, why), " · ")
	}
	flight, left := 0, p.total-p.ended
	for _, s := range stats.Providers {
		flight += s.InFlight
	}
	// Slots are taken before jobs are pulled: no more calls than jobs.
	parts = append(parts, fmt.Sprintf("%d in flight", min(flight, left)))
	if p.stopping {
		return strings.Join(append(parts, "stopping"), " · ")
	}
	parts = append(parts, fmt.Sprintf("%.0f/s", p.rate))
	if p.rate > 0.1 && left > 0 {
		parts = append(parts, shortDuration(time.Duration(float64(left)/p.rate*float64(time.Second)))+" left")
	}
	return strings.Join(parts, " · ")
}

// waiting says what stands in the way, if anything does.
func (p *progress) waiting(stats consumer.Stats) string {
	for _, s := range stats.Pauses {
		if !p.stopping {
			return pauseWords(s)
		}
	}
	for _, s := range stats.Providers {
		wait := time.Until(s.Until)
		switch {
		case p.stopping:
		case s.Hold != nil:
			return fmt.Sprintf("held: %s, next probe in %s", classWords(s.Hold.Class), shortDuration(time.Until(s.Hold.Probe)))
		case s.Reason != "" && wait > 0:
			return s.Reason + ", " + shortDuration(wait+time.Second/2)
		}
	}
	if p.full {
		return "queue full"
	}
	return ""
}

// pauseWords says what is paused, why and for how long.
func pauseWords(s consumer.Pause) string {
	words := "paused"
	if s.Reason != consumer.ReasonOperator {
		words += ": " + s.Reason
	}
	if !s.Until.IsZero() {
		words += ", " + shortDuration(time.Until(s.Until)) + " left"
	}
	return words
}

// close takes the bar away and leaves the screen to others.
func (p *progress) close() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.screen.setBar(nil)
	}
}

func classWords(c policy.Class) string { return strings.ReplaceAll(string(c), "_", " ") }

// holdText says in a few lines why a provider is held and who must do what.
func holdText(h *policy.Hold) string {
	text := fmt.Sprintf("provider %s is held: %s", h.Provider, classWords(h.Class))
	if h.Status != 0 {
		text += fmt.Sprintf(", status %d", h.Status)
	}
	if h.Code != "" {
		text += ", code " + h.Code
	}
	text = fold(text, 0) + "\n"
	if h.Words != "" {
		text += fold("it says: "+h.Words, 0) + "\n"
	}
	return text + fold(h.Owner+": "+h.Remedy, 0) + "\n"
}

// plural writes 1 job and 2 jobs.
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return thousands(n) + " " + what
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// shortDuration writes a time to wait for as people say it: 45s, 12m05s, 3h20m, 2d4h.
func shortDuration(d time.Duration) string {
	switch d = max(d, 0).Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// printf writes words; who cannot be told of an error has no use for another.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
