package openai_test

import (
	"fmt"
	"net/http"
	"testing"

	"nightshift/consumer/provider/openai"
	"nightshift/policy"
)

// Azure takes the key in a header of its own and wants to know its interface's version.
func TestAzure(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.RequestURI, " ", r.Header.Get("Api-Key"), " ", r.Header.Get("Authorization"))
	})
	key := func() string { return "k" }
	base := url + "/openai/deployments/d"
	const uri = "/openai/deployments/d/chat/completions?api-version=2024-10-21"
	for want, c := range map[string]openai.Config{
		uri + " k ":        {APIVersion: "2024-10-21", KeyHeader: "api-key", Key: key},
		uri + "  Bearer k": {APIVersion: "2024-10-21", KeyHeader: "authorization", Key: key},
		"/openai/deployments/d/chat/completions?api-version=a%26b%3Dc  ": {APIVersion: "a&b=c", KeyHeader: "api-key"},
	} {
		c.BaseURL = base
		if r := open(t, c).Call(t.Context(), call("{}")); string(r.Body) != want {
			t.Errorf("%s, want %s", r.Body, want)
		}
	}
}

// Anthropic's own lines do not go to OpenAI.
func TestMessagesAreRefused(t *testing.T) {
	t.Parallel()
	url, conns := serve(t, echo)
	c := call("{}")
	c.Path = "/v1/messages"
	f := policy.Classify(open(t, openai.Config{BaseURL: url}).Call(t.Context(), c))
	if f == nil || f.Class != policy.BadRequest || conns.Load() != 0 {
		t.Errorf("fault %+v", f)
	}
}
