package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Hours is the part of each day in which jobs are pulled, by the clocks of a place. The zero
// Hours is the whole day.
type Hours struct {
	from, to clock
	place    *time.Location
}

type clock struct{ hour, minute int }

// ParseHours reads "22:00-06:00 Europe/Berlin": from, to and a place of the IANA time zone
// database, without which it is the machine's local time. The end may be on the next day.
func ParseHours(s string) (Hours, error) {
	span, place, named := strings.Cut(strings.TrimSpace(s), " ")
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		return Hours{}, fmt.Errorf("window %q: want hours and a place like 22:00-06:00 Europe/Berlin", s)
	}
	h := Hours{place: time.Local}
	var err, bad error
	h.from, err = parseClock(from)
	h.to, bad = parseClock(to)
	if err = errors.Join(err, bad); err != nil {
		return Hours{}, fmt.Errorf("window %q: want hours like 22:00-06:00", s)
	}
	if h.from == h.to {
		return Hours{}, fmt.Errorf("window %q: it begins when it ends; leave it out for the whole day", s)
	}
	if named {
		if h.place, err = time.LoadLocation(strings.TrimSpace(place)); err != nil {
			return Hours{}, fmt.Errorf("window %q: no such place in the time zone database", s)
		}
	}
	return h, nil
}

func parseClock(s string) (clock, error) {
	t, err := time.Parse("15:04", s)
	return clock{t.Hour(), t.Minute()}, err
}

// Open says whether a time is within the hours, and when that changes. A day on which the clocks
// are set has an hour more or less.
func (h Hours) Open(now time.Time) (open bool, until time.Time) {
	if h.place == nil {
		return true, time.Time{}
	}
	for day := -1; day <= 2; day++ {
		start, end := h.at(now, day, h.from), h.at(now, day, h.to)
		if !h.from.before(h.to) {
			end = h.at(now, day+1, h.to)
		}
		switch {
		case now.Before(start):
			return false, start
		case now.Before(end):
			return true, end
		}
	}
	return false, h.at(now, 3, h.from)
}

func (c clock) before(o clock) bool {
	return c.hour < o.hour || c.hour == o.hour && c.minute < o.minute
}

// at is a clock's time, some days after that of now.
func (h Hours) at(now time.Time, days int, c clock) time.Time {
	y, m, d := now.In(h.place).Date()
	return time.Date(y, m, d+days, c.hour, c.minute, 0, 0, h.place)
}
