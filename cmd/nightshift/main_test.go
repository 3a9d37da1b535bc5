package main

import (
	"os"
	"testing"
)

// asNightshift makes the test binary be the real nightshift, so that tests have processes they
// can kill, under the race detector where the tests are.
const asNightshift = "TEST_BINARY_IS_NIGHTSHIFT"

func TestMain(m *testing.M) {
	if os.Getenv(asNightshift) != "" {
		main()
	}
	os.Exit(m.Run())
}
