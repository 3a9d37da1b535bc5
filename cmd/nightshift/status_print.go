package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"nightshift/consumer"
)

func (a *app) printStatus(r *statusReport) error {
	if a.flags.json {
		if err := json.NewEncoder(a.stdout).Encode(r); err != nil {
			return fmt.Errorf("write standard output: %w", err)
		}
		return nil
	}
	var text bytes.Buffer
	if a.flags.watch && isTerminal(a.stdout) {
		text.WriteString("\x1b[H\x1b[2J")
	}
	r.print(&text)
	if _, err := a.stdout.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	return nil
}

func (r *statusReport) print(w io.Writer) {
	if len(r.Queues)+len(r.Batches)+len(r.Providers) == 0 {
		printf(w, "nothing is queued and nothing was submitted\n")
		return
	}
	gap := ""
	for _, part := range []func(io.Writer) bool{
		r.printQueues, r.printProviders, r.printHolds, r.printPauses,
		r.printBatches,
	} {
		var b bytes.Buffer
		if part(&b) {
			printf(w, "%s%s", gap, &b)
			gap = "\n"
		}
	}
}

// table writes rows of cells, aligned, without spaces at their ends.
func table(w io.Writer, rows [][]string) {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		printf(t, "%s\n", strings.Join(cells, "\t"))
	}
	_ = t.Flush() // memory takes it all
	for line := range strings.Lines(b.String()) {
		printf(w, "%s\n", strings.TrimRight(line, " \n"))
	}
}

func (r *statusReport) printQueues(w io.Writer) bool {
	rows := [][]string{{"QUEUE", "QUEUED", "RUNNING", "WAITING", "OLDEST", "RATE", "LEFT"}}
	for _, q := range r.Queues {
		oldest, rate := "-", "-"
		if !q.Oldest.IsZero() {
			oldest = shortDuration(time.Since(q.Oldest))
		}
		if q.Rate > 0 {
			rate = fmt.Sprintf("%.3g/s", q.Rate)
		}
		rows = append(rows, []string{
			q.Name, thousands(q.Queued), thousands(q.Running), thousands(q.Waiting), oldest, rate, q.eta(),
		})
	}
	table(w, rows)
	for _, q := range r.Queues {
		if _, paused := r.pauseOf(q.Name, ""); q.Why != "" && !paused { // that is said for all together
			printf(w, "%s\n", fold(q.Name+": "+q.Why, 0))
		}
	}
	return len(r.Queues) > 0
}

func worked(workers []consumer.Worker, queue string) bool {
	return slices.ContainsFunc(workers, func(w consumer.Worker) bool { return slices.Contains(w.Queues, queue) })
}

func (r *statusReport) printHolds(w io.Writer) bool {
	shown := false
	for _, p := range r.Providers {
		if p.Hold == nil {
			continue
		}
		shown = true
		probe := "next probe in " + shortDuration(time.Until(p.Hold.Probe))
		if len(r.Workers) == 0 {
			probe = "no worker runs; the next one to start probes it"
		}
		printf(w, "%s%s\n", holdText(p.Hold), fold(fmt.Sprintf("held for %s, %s; to end it at once: nightshift resume %s",
			shortDuration(time.Since(p.Hold.Since)), probe, p.Name), 0))
	}
	return shown
}
