package policy_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"nightshift/policy"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	owners := []string{"author", "operator", "account owner", "provider", "limiter", "nobody"}
	seen := map[policy.Class]bool{}
	for _, c := range policy.Classes() {
		if seen[c] {
			t.Errorf("%s is there twice", c)
		}
		seen[c] = true
		if !strings.HasSuffix(c.Remedy(), ".") || !slices.Contains(owners, c.Owner()) || c.Verdict().String() == "unknown" {
			t.Errorf("%s: owner %q, verdict %s, remedy %q", c, c.Owner(), c.Verdict(), c.Remedy())
		}
	}
	if none := policy.Class("none"); none.Remedy() != "" || none.Verdict() != policy.VerdictRetry || none.Owner() != "nobody" {
		t.Errorf("no class: %q, %s", none.Remedy(), none.Verdict())
	}
	if policy.Verdict(9).String() != "unknown" {
		t.Error("verdict 9 has a name")
	}
}

func TestFaultKeepsOnlyWords(t *testing.T) {
	t.Parallel()
	r := sample{
		status: 400, header: "X-Request-Id: not a word\r\nRequest-Id: req_9",
		body: `{"error":{"message":"Tell me a secret","type":"the prompt, in full","code":"` + strings.Repeat("x", 65) + `","status":"400"}}`,
	}.reply()
	f := policy.Classify(r)
	if f.Code != "400" || f.Type != "" || f.RequestID != "req_9" {
		t.Errorf("code %q, type %q, request %q", f.Code, f.Type, f.RequestID)
	}
	if f.Error() != "bad_request: status 400, code 400" || f.Words() != "" {
		t.Errorf("error %q, words %q", f.Error(), f.Words())
	}
}

func TestFaultError(t *testing.T) {
	t.Parallel()
	f := policy.Classify(policy.Reply{Err: io.EOF})
	if f.Error() != "network: no reply" || !errors.Is(f, io.EOF) {
		t.Errorf("%q wraps %v", f.Error(), f.Unwrap())
	}
	if f = policy.Classify(policy.Reply{Status: 502}); f.Error() != "server_error: status 502" {
		t.Errorf("%q", f.Error())
	}
}

func TestWordsHideSecrets(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Incorrect API key provided: sk-proj-ab***xyz. See":       "Incorrect API key provided: *** See",
		"key AIzaSyD-1234567890 refused":                          "key *** refused",
		"Authorization: Bearer abc.def-ghi failed":                "Authorization: *** failed",
		"write to jo.doe+x@mail.example.com":                      "write to ***",
		"token=hunter2 is wrong":                                  "*** is wrong",
		"seen 0123456789abcdef0123456789abcdef":                   "seen ***",
		"Account acme is \x1b[31msuspended\n now":                 "Account acme is [31msuspended now",
		"model accounts/fireworks/models/llama-v3p1-405b unknown": "model accounts/fireworks/models/llama-v3p1-405b unknown",
	} {
		if got := (&policy.Fault{Class: policy.Auth, Message: in}).Words(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	long := &policy.Fault{Class: policy.NotFound, Message: strings.Repeat("é ", 300)}
	if n := len(long.Words()); n > 200 || n < 190 || strings.Contains(long.Words(), "\ufffd") {
		t.Errorf("%d bytes", n)
	}
	if (&policy.Fault{Class: policy.ServerError, Message: "x"}).Words() != "" {
		t.Error("words of a server error")
	}
}
