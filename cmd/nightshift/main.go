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
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go cancelOn(signals, cancel)
	ignoreFileLimit()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	return execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// cancelOn takes both signals itself: a process that was started in the background of a script
// ignores interrupts by default, and would ignore the second one.
func cancelOn(signals chan os.Signal, cancel func()) {
	<-signals
	cancel()
	<-signals
	os.Exit(exitError)
}
