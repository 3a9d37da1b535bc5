package policy_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/timeout"

	"nightshift/policy"
)

func (s sample) reply() policy.Reply {
	h, _ := textproto.NewReader(bufio.NewReader(strings.NewReader(s.header + "\r\n\r\n"))).ReadMIMEHeader()
	return policy.Reply{Status: s.status, Header: h, Body: []byte(s.body)}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f := policy.Classify(s.reply())
			switch {
			case f == nil && s.class == "":
			case f == nil:
				t.Errorf("an answer, want %s", s.class)
			case f.Class != s.class || f.Rule != s.rule:
				t.Errorf("%s by %q, want %s by %q", f.Class, f.Rule, s.class, s.rule)
			case f.Status != s.status:
				t.Errorf("status %d, want %d", f.Status, s.status)
			}
		})
	}
}

// A row that no sample meets is a row that nobody knows to be right.
func TestEveryRuleHasASample(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for _, s := range samples() {
		if f := policy.Classify(s.reply()); f != nil {
			met[f.Rule] = true
		}
	}
	for _, r := range policy.Builtin() {
		if !met[r.Name] {
			t.Errorf("rule %q: no sample", r.Name)
		}
	}
}

func TestEveryStatusHasOneClass(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		for _, body := range []string{"", "{}", `{"error":{"code":"x"}}`, "<html>", "[]", `{"choices":[]}`} {
			f := policy.Classify(policy.Reply{Status: status, Body: []byte(body)})
			if f == nil || !slices.Contains(policy.Classes(), f.Class) || f.Rule == "" {
				t.Fatalf("status %d, body %q: %+v", status, body, f)
			}
		}
	}
}

func TestClassifyTransport(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &url.Error{Op: "Post", URL: "https://x", Err: &net.OpError{Op: "dial", Err: err}}
	}
	_, badURL := url.Parse(strings.Join([]string{"http://a", "b"}, " "))
	for _, c := range []struct {
		err  error
		want policy.Class
	}{
		{context.DeadlineExceeded, policy.Timeout},
		{fmt.Errorf("ask: %w", timeout.ErrExceeded), policy.Timeout},
		{dial(os.ErrDeadlineExceeded), policy.Timeout},
		{context.Canceled, policy.Network},
		{io.ErrUnexpectedEOF, policy.Network},
		{dial(syscall.ECONNREFUSED), policy.Network},
		{dial(&net.DNSError{Err: "no such host", IsNotFound: true}), policy.Config},
		{dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), policy.Network},
		{dial(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), policy.Network},
		{dial(x509.UnknownAuthorityError{}), policy.Config},
		{dial(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}), policy.Config},
		{dial(errors.New("remote error: tls: handshake failure")), policy.Config},
		{dial(errors.New("remote error: tls: internal error")), policy.Network},
		{errors.New(`Post "ftp://x": unsupported protocol scheme "ftp"`), policy.Config},
		{errors.New("http: server gave HTTP response to HTTPS client"), policy.Config},
		{badURL, policy.Config},
	} {
		for _, status := range []int{0, 200} {
			f := policy.Classify(policy.Reply{Status: status, Err: c.err, Body: []byte(`{"choices":[{}]}`)})
			if f == nil || f.Class != c.want || !errors.Is(f, c.err) {
				t.Errorf("%v: %+v, want %s", c.err, f, c.want)
			}
		}
		refused := policy.Classify(policy.Reply{Status: 401, Err: c.err, Body: []byte(`{"err`)})
		if refused.Class != policy.Auth {
			t.Errorf("%v with a 401: %s", c.err, refused.Class)
		}
	}
}

// A server's x-should-retry decides between trying again and giving up, with two exceptions:
// "true" does not overrule an account problem, as calling on with a refused key helps nobody and
// dead-letters the queue by its attempts; "false" does not kill a job for the provider's lack of
// capacity, of which the job is not the cause.
func TestShouldRetryHasTheFinalWord(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		if s.class == "" || s.status == 0 {
			continue
		}
		for _, word := range []string{"true", "false"} {
			r := s.reply()
			if r.Header == nil {
				r.Header = textproto.MIMEHeader{}
			}
			r.Header.Set("x-should-retry", word)
			f := policy.Classify(r)
			if want := overruled(s, word == "true"); f.Class != want {
				t.Errorf("%s, %s: %s became %s, want %s", s.name, word, s.class, f.Class, want)
			}
		}
	}
}

func overruled(s sample, again bool) policy.Class {
	switch v := s.class.Verdict(); {
	case v == policy.VerdictHold, s.class == policy.Overloaded:
		return s.class
	case v == policy.VerdictRetry && !again:
		return policy.BadRequest
	case s.class == policy.RateLimited && !again:
		return policy.Quota // waiting does not lift it: somebody must act, and every job is kept
	case v == policy.VerdictRetry || v == policy.VerdictLater || !again:
		return s.class
	case s.status >= 500:
		return policy.ServerError
	default:
		return policy.Conflict
	}
}

func TestDailyQuotaWaitsForMidnight(t *testing.T) {
	t.Parallel()
	f := policy.Classify(sample{status: 429, body: geminiDay}.reply())
	pacific, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	renews := time.Now().Add(f.RetryAfter).In(pacific).Round(time.Minute)
	if renews.Hour() != 0 || renews.Minute() != 0 || f.RetryAfter <= 0 || f.RetryAfter > 25*time.Hour {
		t.Errorf("renews at %v, in %v", renews, f.RetryAfter)
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.status, []byte(s.body), "")
	}
	f.Add(200, []byte(`{"a":`+strings.Repeat("[", 9000)), "true")
	f.Add(500, []byte(strings.Repeat(`{"error":`, 5000)), "false")
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		h := textproto.MIMEHeader{"X-Should-Retry": {retry}}
		got := policy.Classify(policy.Reply{Status: status, Header: h, Body: body})
		if got == nil {
			if status/100 != 2 {
				t.Fatalf("status %d is an answer", status)
			}
			return
		}
		if !slices.Contains(policy.Classes(), got.Class) || got.Rule == "" {
			t.Fatalf("%+v", got)
		}
		if got.RetryAfter < 0 || got.RetryAfter > 25*time.Hour || len(got.Message) > 500 || len(got.Words()) > 200 {
			t.Fatalf("%+v", got)
		}
	})
}

func BenchmarkClassifyAnswer(b *testing.B) {
	body := fmt.Appendf(nil, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":200,"total_tokens":209}}`, strings.Repeat("All work and no play. ", 38))
	r := policy.Reply{Status: 200, Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if policy.Classify(r) != nil {
			b.Fatal("no answer")
		}
	}
}
