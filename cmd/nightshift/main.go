// Command nightshift drains files of prompts through an LLM provider overnight: every job
// ends as an answer or as a dead letter that says whose fault it is.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // the places of night windows, on machines that have no such database
)

func main() {
	os.Exit(realMain())
}

// gcPercent trades memory for a twentieth of the processor: most of what is allocated lives for
// one call.
const gcPercent = 200

// realMain runs the command line. The first signal ends the context, and commands stop in
// order; a second one ends the process at once. Nothing is lost by that.
func realMain() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go cancelOn(signals, cancel)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	return execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// cancelOn gives signals their default effect again before anybody hears of the first, so that
// whoever reads "interrupt again to leave now" and does is not ignored.
func cancelOn(signals chan os.Signal, cancel func()) {
	<-signals
	signal.Stop(signals)
	cancel()
}
