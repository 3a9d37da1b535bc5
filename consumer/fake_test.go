package consumer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshift/consumer"
	"nightshift/consumer/provider/openai"
	"nightshift/consumer/provider/sim"
)

// answering is a provider that answers each job with the text of its id.
func answering(t *testing.T, text func(id string) string) consumer.Provider {
	t.Helper()
	return serving(t, func(out http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(out, text(r.Header.Get("X-Client-Request-Id")))
	})
}

func serving(t *testing.T, handle http.HandlerFunc) consumer.Provider {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	p, err := openai.New(openai.Config{BaseURL: server.URL + "/v1", Key: func() string { return secretKey }})
	check(t, err)
	t.Cleanup(p.Close)
	return p
}

// filler is an answer of more than n bytes.
func filler(n int) string {
	return `{"choices":[{"text":"` + strings.Repeat("x", n) + `"}]}`
}

const secretKey = "sk-planted-KEY-marker-0123456789"

func healthy() sim.Config { return sim.Config{} }
