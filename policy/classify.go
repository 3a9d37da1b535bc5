package policy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/timeout"
)

// Classify judges a reply by the built-in table. It returns nil for an answer, else a fault of
// exactly one class.
func Classify(r Reply) *Fault { return defaultTable().Classify(r) }

//nolint:gochecknoglobals // compiled once, never changed
var defaultTable = sync.OnceValue(func() *Table {
	t, err := NewTable()
	if err != nil { // a test proves that the built-in rules compile
		return &Table{}
	}
	return t
})

// Classify judges a reply: nil for an answer, else a fault of exactly one class. The body comes
// before the status, and a server's x-should-retry has the final word on whether to try again.
func (t *Table) Classify(r Reply) *Fault {
	switch {
	case r.Status == 0 || r.Err != nil && r.Status < 400: // cut short, a refusal is one still
		class, rule := transport(r.Err)
		return &Fault{Class: class, Status: r.Status, Rule: rule, Err: r.Err, RequestID: requestID(r, "")}
	case r.Status/100 == 2 && isAnswer(r.Body):
		return nil
	}
	body, now := find(r.Body), time.Now()
	class, rule := t.judge(r, body)
	if c, overruled := shouldRetry(r, class); overruled {
		class, rule = c, "x-should-retry"
	}
	f := &Fault{
		Class: class, Status: r.Status, Rule: rule, Err: r.Err,
		Code: word(body.codes), Type: word(body.types), RequestID: requestID(r, body.requestID),
		Message: cut(body.message, maxMessage), RetryAfter: retryAfter(r, body, now),
	}
	if class == DailyQuota { // Gemini's retryDelay is the minute's
		f.RetryAfter = untilPacificMidnight(now)
	}
	return f
}

// judge trusts the words of a 2xx only where it calls itself an error: other text may be an
// answer in a shape that nobody can read, and it must not hold a provider.
func (t *Table) judge(r Reply, body finding) (Class, string) {
	if r.Status/100 == 2 && !declaresError(r.Body) {
		body = finding{}
	}
	return t.decide(r, effectiveStatus(r.Status, body.codes), body)
}

// effectiveStatus is the provider's own status where a gateway put a 2xx or 5xx over it and
// the body still tells.
func effectiveStatus(status int, codes []string) int {
	if status/100 != 2 && status/100 != 5 {
		return status
	}
	for _, c := range codes {
		if n, err := strconv.Atoi(c); err == nil && n >= 400 && n <= 599 {
			return n
		}
	}
	return status
}

// shouldRetry follows x-should-retry where it contradicts the class. A "true" makes an attempt
// of it and not a wait, so that a server that is wrong about it cannot keep a job for ever. What
// it never overrules: an account problem dead-letters nobody's queue, and a lack of capacity
// kills no job.
func shouldRetry(r Reply, c Class) (Class, bool) {
	again := c.Verdict() == VerdictRetry || c.Verdict() == VerdictLater
	switch strings.ToLower(strings.TrimSpace(r.Header.Get("X-Should-Retry"))) {
	case "true":
		if again || c.Verdict() == VerdictHold {
			return c, false
		}
		if r.Status >= 500 {
			return ServerError, true
		}
		return Conflict, true
	case "false":
		if !again || c == Overloaded {
			return c, false
		}
		if c == RateLimited { // a limit that waiting does not lift; every job is kept
			return Quota, true
		}
		return BadRequest, true
	}
	return c, false
}

func requestID(r Reply, inBody string) string {
	return word([]string{
		r.Header.Get("X-Request-Id"), r.Header.Get("Request-Id"), r.Header.Get("X-Amzn-Requestid"),
		r.Header.Get("Apim-Request-Id"), inBody, r.Header.Get("Cf-Ray"),
	})
}

// transport judges what stood in the way of a reply. A context's end is a timeout only by its
// deadline; being cancelled says nothing of the provider and is tried again elsewhere.
func transport(err error) (Class, string) {
	var dns *net.DNSError
	var slow net.Error
	switch {
	case err == nil:
		return Network, "no reply"
	case errors.As(err, &dns):
		if dns.IsNotFound && !dns.IsTemporary {
			return Config, "no such host"
		}
		return Network, "name not resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, timeout.ErrExceeded),
		errors.As(err, &slow) && slow.Timeout():
		return Timeout, "timeout"
	case misconfigured(err):
		return Config, "address or TLS"
	default:
		return Network, "network"
	}
}

// misconfigured reports an error that no other try can mend.
func misconfigured(err error) bool {
	var (
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
		address *url.Error
		badHost url.InvalidHostError
		escape  url.EscapeError
	)
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &unknown) ||
		errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &roots) ||
		errors.As(err, &address) && address.Op == "parse" ||
		errors.As(err, &badHost) || errors.As(err, &escape) ||
		configText().MatchString(err.Error())
}

// configText knows the errors that net/http and crypto/tls give no type. Alerts that a broken
// connection can cause (internal error, bad record MAC) are not among them.
//
//nolint:gochecknoglobals // compiled once, never changed
var configText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`unsupported protocol scheme|no Host in request URL|invalid header field` +
		`|gave HTTP response to HTTPS client|tls: (?:first record does not|server selected unsupported|handshake failure` +
		`|protocol version|no application protocol|unrecognized name|access denied|insufficient security` +
		`|(?:bad|unknown|expired|revoked|unsupported) certificate|certificate required|unknown certificate authority)`)
})

// limitText finds a limit and the request it refused: "Limit 10000, Requested 12000".
//
//nolint:gochecknoglobals // compiled once, never changed
var limitText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?is)\blimit[ :]+([\d,]+)\b.{0,60}?\brequested[ :]+(?:about )?~?([\d,]+)`)
})

// exceedsAlone reports a request for more than the whole limit.
func exceedsAlone(message string) bool {
	m := limitText().FindStringSubmatch(message)
	if m == nil {
		return false
	}
	limit, err := strconv.ParseUint(strings.ReplaceAll(m[1], ",", ""), 10, 64)
	requested, err2 := strconv.ParseUint(strings.ReplaceAll(m[2], ",", ""), 10, 64)
	return err == nil && err2 == nil && requested > limit
}
