package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (r *statusReport) printBatches(w io.Writer) bool {
	if r.detailed {
		r.Batches[0].show(w)
		return true
	}
	rows := [][]string{{"BATCH", "TOTAL", "ANSWERED", "DEAD", "CANCELLED", "LEFT", "TOKENS", "COST", "ETA", "FILE"}}
	cancelled, priced := false, false
	for _, b := range r.Batches {
		tokens, cost := "-", "-"
		if b.Ledger != nil {
			tokens = short(b.Ledger.InputTokens + b.Ledger.OutputTokens)
			cost = (b.Ledger.Cost + b.Ledger.Wasted).String()
			priced = priced || b.Ledger.Cost > 0
		}
		cancelled = cancelled || b.Tally.Cancelled > 0
		rows = append(rows, []string{
			b.ID, thousands(b.Tally.Total), thousands(b.Answered), thousands(b.Dead), thousands(b.Tally.Cancelled),
			thousands(b.Left), tokens, cost, b.eta(), cut(b.File, 14),
		})
	}
	for i := range rows { // the screen is narrow
		if !priced {
			rows[i] = slices.Delete(rows[i], 7, 8)
		}
		if !cancelled {
			rows[i] = slices.Delete(rows[i], 4, 5)
		}
	}
	table(w, rows)
	for _, b := range r.Batches {
		b.printMissing(w)
	}
	return len(r.Batches) > 0
}

func (b batchStatus) printMissing(w io.Writer) {
	if b.Missing > 0 {
		printf(w, "%s\n", fold(fmt.Sprintf("%s: %s neither on the queue nor ended; nightshift verify %s FILE tells which",
			b.ID, plural(b.Missing, "job"), b.ID), 0))
	}
}

// show prints one batch in full.
func (b batchStatus) show(w io.Writer) {
	field := func(name, format string, args ...any) {
		printf(w, "%-10s %s\n", name, fold(fmt.Sprintf(format, args...), 11))
	}
	field("batch", "%s", b.ID)
	if b.File != "" {
		field("file", "%s", b.File)
	}
	field("queue", "%s", b.Queue)
	field("total", "%s", thousands(b.Tally.Total))
	for _, part := range []struct {
		name string
		n    int
	}{
		{"queued", b.Queued},
		{"running", b.Running},
		{"waiting", b.Waiting},
		{"answered", b.Answered},
		{"dead", b.Dead},
		{"cancelled", b.Tally.Cancelled},
	} {
		field(part.name, "%s", thousands(part.n))
		if part.name == "dead" && part.n > 0 {
			printClasses(w, b.Ledger.ByClass, 11)
		}
	}
	if b.Published < b.Tally.Total && !b.Stopped() {
		field("submitted", "%s so far", thousands(b.Published))
	}
	if b.Rate > 0 {
		field("rate", "%.3g a second, %s left", b.Rate, b.eta())
	}
	b.printLedger(field)
	b.printMissing(w)
}

func (b batchStatus) printLedger(field func(string, string, ...any)) {
	l := b.Ledger
	if l.Answered+l.Dead == 0 {
		return
	}
	if l.Unread > 0 {
		field("so far", "these are of %s endings; ask again for the other %s", thousands(l.Answered+l.Dead), thousands(l.Unread))
	}
	if l.Answered > 0 {
		field("finish", "%s", finishText(l.Finish))
		field("latency", "p50 %s, p95 %s, p99 %s", l.Latency.Quantile(0.5), l.Latency.Quantile(0.95),
			l.Latency.Quantile(0.99))
	}
	field("calls", "%s, %.2f a job; %s wasted, made again because a worker died",
		thousands(l.Calls), float64(l.Calls)/float64(l.Answered+l.Dead), thousands(l.Again))
	if l.Waits > 0 {
		field("waits", "%s, for a limit, capacity or a hold", thousands(l.Waits))
	}
	field("tokens", "%s in, %s out", thousands(l.InputTokens), thousands(l.OutputTokens))
	if l.Cost > 0 || l.Wasted > 0 {
		field("cost", "%s, and %s for calls without an answer", l.Cost, l.Wasted)
	}
}

// finishText lists finish reasons, the most frequent first.
func finishText(n map[string]int) string {
	var parts []string
	for _, reason := range slices.SortedFunc(maps.Keys(n), func(x, y string) int {
		return cmp.Or(n[y]-n[x], strings.Compare(x, y))
	}) {
		parts = append(parts, fmt.Sprintf("%s %s", cmp.Or(reason, "none given"), thousands(n[reason])))
	}
	return strings.Join(parts, ", ")
}

// short writes a large count in few characters: 950, 12.3k, 4.56M.
func short(n int) string {
	switch {
	case n < 1000:
		return strconv.Itoa(n)
	case n < 999_500:
		return fmt.Sprintf("%.3gk", float64(n)/1e3)
	case n < 999_500_000:
		return fmt.Sprintf("%.3gM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.3gG", float64(n)/1e9)
}
