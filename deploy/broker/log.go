package broker

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// serverLog hands the warnings and errors of the server on and drops everything else. It keeps
// the last fatal one: the server in a process reports why it did not start only to its log.
type serverLog struct {
	log   zerolog.Logger
	fatal atomic.Pointer[string]
	warns atomic.Pointer[string]
}

func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

// Noticef drops the notice, except that a client was cut off, which is no news but trouble.
func (l *serverLog) Noticef(format string, v ...any) {
	if strings.Contains(format, "Slow Consumer") {
		l.log.Warn().Msg(clean(format, v...))
	}
}

func (l *serverLog) Warnf(format string, v ...any) {
	msg := clean(format, v...)
	l.warns.Store(&msg)
	l.log.Warn().Msg(msg)
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error().Msg(clean(format, v...))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	msg := clean(format, v...)
	l.fatal.Store(&msg)
}

// clean cuts what the server quotes of a broken protocol line: it may be a piece of a message.
func clean(format string, v ...any) string {
	msg, _, _ := strings.Cut(fmt.Sprintf(format, v...), "proto=")
	return strings.TrimSpace(msg)
}

// reason is the last that was said, for an error.
func reason(p *atomic.Pointer[string]) string {
	if s := p.Load(); s != nil {
		return *s
	}
	return "no reason given"
}
