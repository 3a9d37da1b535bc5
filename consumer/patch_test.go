package consumer_test

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer"
)

// The examples of RFC 7396, appendix A.
func TestMergePatch(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"n":12345678901234567890.10}`, `{"a":1}`, `{"n":12345678901234567890.10,"a":1}`},
	} {
		got, err := consumer.MergePatch(jsontext.Value(c[0]), jsontext.Value(c[1]))
		check(t, err)
		if string(got) != c[2] {
			t.Errorf("%s with %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	if _, err := consumer.MergePatch(jsontext.Value(`{}`), jsontext.Value(`{"a":`)); err == nil {
		t.Error("half a patch was applied")
	}
}

func TestPatchRequest(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{`{"custom_id":"a","body":{"x":1}}`, `body.max_tokens=512`, `{"custom_id":"a","body":{"x":1,"max_tokens":512}}`},
		{`{"messages":[]}`, `body.user=anna`, `{"messages":[],"user":"anna"}`},
		{`{"messages":[]}`, `body.messages=null`, `{}`},
		{`{"messages":[]}`, `url=/v1/messages`, ``},
		{`no JSON`, `body.x=1`, ``},
	} {
		patch, err := consumer.SetPatch(c[1])
		check(t, err)
		got, err := consumer.PatchRequest([]byte(c[0]), patch)
		if string(got) != c[2] || (err != nil) != (c[2] == "") {
			t.Errorf("%s with %s: %s %v, want %s", c[0], c[1], got, err, c[2])
		}
	}
	for _, bad := range []string{"body.x", "=1", "body..x=1", "body.messages.0=1"} {
		if _, err := consumer.SetPatch(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
