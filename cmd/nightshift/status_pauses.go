package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"nightshift/consumer"
)

// outsideHours lists the queues whose window is shut by the configuration of their workers.
func outsideHours(workers []consumer.Worker) (all []consumer.Pause) {
	seen := map[string]bool{}
	for _, w := range workers {
		for _, p := range w.Pauses {
			if p.Reason == consumer.ReasonHours && !seen[p.Name] {
				seen[p.Name] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// pauseOf finds the pause that stops a whole queue.
func (r *statusReport) pauseOf(queue, provider string) (consumer.Pause, bool) {
	i := slices.IndexFunc(r.Pauses, func(p consumer.Pause) bool {
		return p.Scope == consumer.PauseQueue && p.Name == queue || p.Scope == consumer.PauseProvider && p.Name == provider
	})
	if i < 0 {
		return consumer.Pause{}, false
	}
	return r.Pauses[i], true
}

func (r *statusReport) printPauses(w io.Writer) bool {
	shown := false
	for _, p := range r.Pauses {
		if r.detailed && p.Scope == consumer.PauseBatch && p.Name != r.Batches[0].ID {
			continue
		}
		shown = true
		printf(w, "%s\n", fold(pauseText(p), 0))
	}
	return shown
}

// pauseText says what is paused, why, for how long and what ends it.
func pauseText(p consumer.Pause) string {
	text := fmt.Sprintf("%s %s is paused", p.Scope, p.Name)
	if p.Reason != consumer.ReasonOperator && p.Reason != "" {
		text += ": " + p.Reason
	}
	if !p.Until.IsZero() {
		return text + ", for " + shortDuration(time.Until(p.Until)+time.Second/2)
	}
	if p.Reason == consumer.ReasonBudget {
		return text + "; nightshift budget " + p.Name + " shows and raises it"
	}
	return text + "; nightshift resume " + p.Name + " ends it"
}
