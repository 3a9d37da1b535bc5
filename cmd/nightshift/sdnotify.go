package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// systemd tells the service manager how the service does, by the protocol of sd_notify(3). The zero
// value tells nobody.
type systemd struct {
	socket   string
	watchdog time.Duration // how often it wants a sign of life; 0 for never
}

// newSystemd reads what the manager has put into the environment.
func newSystemd() systemd {
	s := systemd{socket: os.Getenv("NOTIFY_SOCKET")}
	if strings.HasPrefix(s.socket, "@") { // the abstract name space
		s.socket = "\x00" + s.socket[1:]
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// tell sends assignments such as READY=1 in one datagram.
func (s systemd) tell(assignments ...string) error {
	if s.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(strings.Join(assignments, "\n")))
	return firstOf(err, c.Close())
}

// reloading has the manager wait for the next READY=1. It wants to know when that began.
func (s systemd) reloading() error {
	now := []string{"RELOADING=1"}
	if usec, ok := monotonic(); ok {
		now = append(now, "MONOTONIC_USEC="+strconv.FormatInt(usec, 10))
	}
	return s.tell(now...)
}

// beats fires when a sign of life is due: twice as often as is asked for.
func (s systemd) beats() (beat <-chan time.Time, stop func()) {
	if s.watchdog == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(max(s.watchdog/2, time.Millisecond))
	return t.C, t.Stop
}
