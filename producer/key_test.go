package producer_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nightshift/producer"
)

func TestKey(t *testing.T) {
	t.Parallel()
	ours := "h_" + strings.Repeat("0a", 16)
	for id, want := range map[string]string{
		"a":                      "a",
		"request-7_B":            "request-7_B",
		strings.Repeat("x", 64):  strings.Repeat("x", 64),
		"s":                      "s",
		"l":                      "l",
		"s12a":                   "s12a",
		"sam":                    "sam",
		"h_":                     "h_",
		"h_12":                   "h_12",
		ours + "0":               ours + "0",
		strings.ToUpper(ours):    strings.ToUpper(ours),
		"":                       "h_e3b0c44298fc1c149afbf4c8996fb924",
		"hello world":            "h_b94d27b9934d3e08a52e52d7da7dabfa",
		"a.b":                    "", // the rest: only that it is a hash
		"a*":                     "",
		">":                      "",
		"naïve":                  "",
		"s12":                    "",
		"s0":                     "",
		"l7":                     "",
		ours:                     "",
		strings.Repeat("x", 65):  "",
		strings.Repeat("x", 512): "",
		"\xff\x00":               "",
		" a":                     "",
	} {
		got := producer.Key(id)
		if want == "" {
			want = got
			if got == id || len(got) != 34 || !strings.HasPrefix(got, "h_") {
				t.Errorf("Key(%q) = %q, want a hash", id, got)
			}
		}
		if got != want {
			t.Errorf("Key(%q) = %q, want %q", id, got, want)
		}
	}
}

// A key names one id, also where somebody's id is another id's key.
func TestKeyLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9_-]{1,70}`),
			rapid.StringMatching(`[sl][0-9]{1,20}`)).Draw(t, "id")
		key := producer.Key(id)
		if !producer.ValidName(key) {
			t.Fatalf("Key(%q) = %q is no name", id, key)
		}
		if key != id && producer.Key(key) == key {
			t.Fatalf("%q and %q have the same key", id, key)
		}
	})
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"a", "-", "_", "Z9", strings.Repeat("x", 64)} {
		if !producer.ValidName(s) {
			t.Errorf("ValidName(%q) = false", s)
		}
	}
	for _, s := range []string{"", "a.b", "a b", "*", ">", "é", "a\n", "a/b", strings.Repeat("x", 65)} {
		if producer.ValidName(s) {
			t.Errorf("ValidName(%q) = true", s)
		}
	}
}

func TestEndpointsAreTheCallers(t *testing.T) {
	t.Parallel()
	producer.Endpoints()[0] = "/changed"
	if got := producer.Endpoints()[0]; got != "/v1/chat/completions" {
		t.Errorf("the default is %s", got)
	}
}
