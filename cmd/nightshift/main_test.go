package main

import (
	"flag"
	"os"
	"testing"
)

// asNightshift makes the test binary be the real nightshift, so that tests have processes they
// can kill, under the race detector where the tests are.
const asNightshift = "TEST_BINARY_IS_NIGHTSHIFT"

// noSleepAtExit is for the environment of these processes: the race detector would have each of
// them sleep a second before it exits.
const noSleepAtExit = "GORACE=atexit_sleep_ms=0"

// TestMain runs more tests at once than there are processors: most of their time is waiting,
// for a disk or a lease.
func TestMain(m *testing.M) {
	if os.Getenv(asNightshift) != "" {
		main()
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
