package openai_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nightshift/consumer/provider/openai"
)

// echo is a server that gives back what it was sent.
func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

func TestModelIsReplaced(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, echo)
	p := open(t, openai.Config{BaseURL: url, Model: `m"1`})
	for body, want := range map[string]string{
		`{}`:                                 `{"model":"m\"1"}`,
		`{"model":"old"}`:                    `{"model":"m\"1"}`,
		`{"a":1.0,"model":{"x":[]},"b":[ ]}`: `{"model":"m\"1","a":1.0,"b":[ ]}`,
		`{"\u006dodel":"old","é":"\u00e9"}`:  `{"model":"m\"1","é":"\u00e9"}`,
		` { "z" : { "model" : 1 } } `:        `{"model":"m\"1","z":{ "model" : 1 }}`,
	} {
		r := p.Call(t.Context(), call(body))
		if diff := cmp.Diff(want, string(r.Body)); diff != "" || r.Err != nil {
			t.Errorf("%s: %v %s", body, r.Err, diff)
		}
	}
	for _, body := range []string{``, `[]`, `{"a":1`, `{"a"}`, `"x"`} {
		if r := p.Call(t.Context(), call(body)); r.Err == nil {
			t.Errorf("%s became %s", body, r.Body)
		}
	}
}

// Every other member comes through byte for byte, in its order.
func TestModelRoundTrip(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, echo)
	p := open(t, openai.Config{BaseURL: url, Model: "new"})
	values := rapid.SampledFrom([]string{
		`1e3`, `-0.10`, `"text with \"model\":\"x\""`, `"\ud83d\ude00 é"`, `{"model" : "inner"}`, `[ 1,{ } ]`, `null`, ` true`,
	})
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zé"\\]{1,6}`), 0, 6, rapid.ID[string]).Draw(rt, "names")
		model := rapid.IntRange(0, len(names)).Draw(rt, "model")
		var in, want bytes.Buffer
		want.WriteString(`{"model":"new"`)
		in.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				in.WriteByte(',')
			}
			if i == model {
				in.WriteString(`"model":"old",`)
			}
			quoted, _ := json.Marshal(name)
			value := values.Draw(rt, "value")
			fmt.Fprintf(&in, "%s: %s", quoted, value)
			fmt.Fprintf(&want, ",%s:%s", quoted, bytes.TrimSpace([]byte(value)))
		}
		in.WriteByte('}')
		want.WriteByte('}')
		r := p.Call(t.Context(), call(in.String()))
		if r.Err != nil || !json.Valid(r.Body) {
			rt.Fatalf("%s became %s: %v", in.String(), r.Body, r.Err)
		}
		if diff := cmp.Diff(want.String(), string(r.Body)); diff != "" {
			rt.Fatal(diff)
		}
	})
}
