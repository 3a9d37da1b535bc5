package main

import "golang.org/x/sys/unix"

// monotonic is the time since the machine started, in microseconds, by the clock that systemd
// compares it with.
func monotonic() (usec int64, ok bool) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, false
	}
	return t.Nano() / 1000, true
}
