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
// order; after it signals have their default effect again, so that a second one ends the
// process at once. Nothing is lost by that.
func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	context.AfterFunc(ctx, stop)
	return execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
