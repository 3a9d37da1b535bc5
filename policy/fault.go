package policy

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The longest texts a Fault carries, and the longest Words shows, in bytes.
const (
	maxMessage = 500
	maxWords   = 200
)

// Fault is what Classify makes of a reply that is no answer.
type Fault struct {
	Class Class
	// Status is the HTTP status the reply came with; 0 when none came.
	Status int
	// Code, Type and RequestID are the provider's, as far as it gave any. They may be logged,
	// so only short words of [A-Za-z0-9_.-] are kept.
	Code, Type string
	RequestID  string
	// Message is the provider's own sentence, cut to 500 bytes. It may repeat the prompt,
	// so it goes to the dead letter and never to a log; Error leaves it out.
	Message string
	// RetryAfter is how long the provider asked to be left alone; 0 when it did not say.
	// For DailyQuota it is the time left until the quota renews.
	RetryAfter time.Duration
	// Rule names the row of the table that decided.
	Rule string
	// Err is the transport's error, where there was one.
	Err error
}

// Error says what happened without the provider's text, nor the transport's: it holds addresses.
func (f *Fault) Error() string {
	switch {
	case f.Status == 0:
		return fmt.Sprintf("%s: no reply", f.Class)
	case f.Code != "":
		return fmt.Sprintf("%s: status %d, code %s", f.Class, f.Status, f.Code)
	default:
		return fmt.Sprintf("%s: status %d", f.Class, f.Status)
	}
}

// Unwrap gives the transport's error, where there was one.
func (f *Fault) Unwrap() error { return f.Err }

// Words is the provider's message as an operator may see it beside a hold: keys, tokens and
// mail addresses masked, on one line, at most 200 bytes. It is empty for a class that cannot
// be about the account, as such a message may repeat the prompt.
func (f *Fault) Words() string {
	if f.Class.Verdict() != VerdictHold && !f.Class.Ambiguous() {
		return ""
	}
	return cut(oneLine(secrets().ReplaceAllString(f.Message, "***")), maxWords)
}

// secrets matches what must not be shown. Providers repeat the key they refuse, at times
// half masked already, so a key ends only where its sentence goes on.
//
//nolint:gochecknoglobals // compiled once, never changed
var secrets = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:sk|pk|rk|gsk|xai|fw|hf|nvapi|sess|r8)[-_][^\s"',;)]{4,}` +
		`|\b(?:AIza|AKIA|eyJ|ya29\.)[^\s"',;)]{6,}` +
		`|\b(?:bearer|basic)\s+[^\s"',;)]{6,}` +
		`|\b(?:api[-_ ]?key|token|secret|password)\s*[=:]\s*[^\s"',;)]+` +
		`|[\w.+-]+@[\w-]+(?:\.[\w-]+)+` +
		`|[A-Za-z0-9+_*=]{32,}`)
})

// oneLine leaves no control character, as the text goes to a terminal.
func oneLine(s string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(clean), " ")
}

// cut keeps at most n bytes of s and no half character.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// word gives the first of these fit for a log, one that is no number where there is any.
func word(from []string) string {
	number := ""
	for _, s := range from {
		switch {
		case !isWord(s):
		case strings.Trim(s, "0123456789") != "":
			return s
		case number == "":
			number = s
		}
	}
	return number
}

func isWord(s string) bool {
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-'
	}) < 0
}
