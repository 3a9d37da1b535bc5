package policy_test

import (
	"strings"
	"testing"
	"time"

	"nightshift/policy"
)

func TestHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hours, now string
		open       bool
		until      string
	}{
		{"22:00-06:00 Europe/Berlin", "2026-11-20T21:59:59+01:00", false, "2026-11-20T22:00:00+01:00"},
		{"22:00-06:00 Europe/Berlin", "2026-11-20T22:00:00+01:00", true, "2026-11-21T06:00:00+01:00"},
		{"22:00-06:00 Europe/Berlin", "2026-11-21T05:59:59+01:00", true, "2026-11-21T06:00:00+01:00"},
		{"22:00-06:00 Europe/Berlin", "2026-11-21T06:00:00+01:00", false, "2026-11-21T22:00:00+01:00"},
		// By the clocks there, wherever the machine is.
		{"22:00-06:00 Europe/Berlin", "2026-11-20T21:00:00Z", true, "2026-11-21T05:00:00Z"},
		{"22:00-06:00 America/Los_Angeles", "2026-11-20T21:00:00Z", false, "2026-11-21T06:00:00Z"},
		// In spring the night has seven hours, in autumn nine.
		{"22:00-06:00 Europe/Berlin", "2026-03-28T22:00:00+01:00", true, "2026-03-29T06:00:00+02:00"},
		{"22:00-06:00 Europe/Berlin", "2026-03-29T05:30:00+02:00", true, "2026-03-29T06:00:00+02:00"},
		{"22:00-06:00 Europe/Berlin", "2026-10-24T22:00:00+02:00", true, "2026-10-25T06:00:00+01:00"},
		{"22:00-06:00 Europe/Berlin", "2026-10-25T05:59:00+01:00", true, "2026-10-25T06:00:00+01:00"},
		// An hour that there is twice, and one that there is not.
		{"02:00-03:00 Europe/Berlin", "2026-10-25T02:30:00+01:00", true, "2026-10-25T03:00:00+01:00"},
		{"03:00-04:00 Europe/Berlin", "2026-03-29T01:59:00+01:00", false, "2026-03-29T03:00:00+02:00"},
		{"09:30-17:15 UTC", "2026-11-20T09:29:00Z", false, "2026-11-20T09:30:00Z"},
		{"09:30-17:15 UTC", "2026-11-20T17:14:59Z", true, "2026-11-20T17:15:00Z"},
		{"09:30-17:15 UTC", "2026-12-31T18:00:00Z", false, "2027-01-01T09:30:00Z"},
		{"00:00-23:59 UTC", "2026-11-20T23:59:30Z", false, "2026-11-21T00:00:00Z"},
	} {
		h, err := policy.ParseHours(c.hours)
		if err != nil {
			t.Fatal(err)
		}
		open, until := h.Open(instant(t, c.now))
		if open != c.open || !until.Equal(instant(t, c.until)) {
			t.Errorf("%s at %s: open %v until %v, want %v until %s", c.hours, c.now, open, until, c.open, c.until)
		}
	}
	if open, until := (policy.Hours{}).Open(time.Now()); !open || !until.IsZero() {
		t.Errorf("the whole day: %v until %v", open, until)
	}
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestBadHours(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "want hours and a place",
		"22:00":                    "want hours and a place",
		"22-06":                    "want hours like 22:00-06:00",
		"25:00-06:00":              "want hours like",
		"22:00-06:60 UTC":          "want hours like",
		"22:00-06:00 Europe/Ulm":   "no such place",
		"22:00-06:00 ../etc/hosts": "no such place",
		"06:00-06:00 UTC":          "leave it out",
	} {
		if _, err := policy.ParseHours(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
