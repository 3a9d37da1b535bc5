package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"nightshift/policy"
)

func TestNewTablePutsExtraRulesFirst(t *testing.T) {
	t.Parallel()
	table, err := policy.NewTable(
		policy.Rule{Name: "ours", Status: []int{418}, Message: `TEAPOT`, Class: policy.Overloaded},
		policy.Rule{Name: "by type", Type: "server_error", Class: policy.Conflict},
		policy.Rule{Name: "by header", Header: "x-why: .*maintenance", Class: policy.Overloaded},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []sample{
		{"all conditions", 418, "", "I am a teapot", policy.Overloaded, "ours"},
		{"one condition", 418, "", "I am a pot", policy.BadRequest, "status 4xx"},
		{"type", 500, "", `{"error":{"type":"server_error"}}`, policy.Conflict, "by type"},
		{"no type", 500, "", `{"error":{"code":"server_error"}}`, policy.ServerError, "status 5xx"},
		{"header", 500, "X-Why: planned maintenance", "", policy.Overloaded, "by header"},
	} {
		if f := table.Classify(s.reply()); f.Class != s.class || f.Rule != s.rule {
			t.Errorf("%s: %s by %q", s.name, f.Class, f.Rule)
		}
	}
}

func TestNewTableRefuses(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]policy.Rule{
		"name is missing":       {Status: []int{400}, Class: policy.Auth},
		"no condition":          {Name: "x", Class: policy.Auth},
		`class "nap" is none`:   {Name: "x", Status: []int{400}, Class: "nap"},
		"status 42 is neither":  {Name: "x", Status: []int{42}, Class: policy.Auth},
		"missing closing )":     {Name: "x", Message: "(", Class: policy.Auth},
		"is not a name, a colo": {Name: "x", Header: "x-why", Class: policy.Auth},
	} {
		_, err := policy.NewTable(r)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "compile rule 1") {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}

func TestZeroTable(t *testing.T) {
	t.Parallel()
	if f := (&policy.Table{}).Classify(policy.Reply{Status: 401}); f.Class != policy.BadReply {
		t.Errorf("%s", f.Class)
	}
}

func TestFindReadsEveryShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, codes, types, message string }{
		{`{"error":{"message":"m","type":"t","param":null,"code":"c"}}`, "[c]", "[t]", "m"},
		{`{"type":"error","error":{"type":"t","message":"m"}}`, "[]", "[t]", "m"},
		{`{"detail":"text"}`, "[]", "[]", "text"},
		{`{"detail":[{"loc":["body","n",0],"msg":"m","type":"missing"}]}`, "[]", "[missing]", "body.n.0: m"},
		{`{"error":"some text"}`, "[]", "[]", "some text"},
		{`{"error":"unauthorized_key","message":"m"}`, "[unauthorized_key]", "[]", "m"},
		{`[{"error":{"code":429,"status":"S","message":"m"}}]`, "[429 S]", "[]", "m"},
		{`"text"`, "[]", "[]", "text"},
		{"<!doctype html><HTML><title>502 Bad\nGateway</title>", "[]", "[]", "502 Bad\nGateway"},
		{"<p>", "[]", "[]", ""},
		{"  plain words ", "[]", "[]", "plain words"},
		{"", "[]", "[]", ""},
		{`{"error":{"code":"c","message":"cut sho`, "[c]", "[]", ""},
		{`{"erro`, "[]", "[]", `{"erro`},
		{"data: {\"a\":1}\n\ndata: {\"error\":{\"code\":\"c\"}}\n\n", "[c]", "[]", ""},
		{"event: error\ndata: Overloaded\n\n", "[]", "[]", "Overloaded"},
		{`{"error":{"input":{"message":"prompt","code":"c"},"message":"m"}}`, "[]", "[]", "m"},
	} {
		codes, types, message := policy.Find([]byte(c.body))
		if fmt.Sprint(codes) != c.codes || fmt.Sprint(types) != c.types || message != c.message {
			t.Errorf("%s: %v %v %q", c.body, codes, types, message)
		}
	}
}

// A FastAPI server repeats the whole prompt; the code before it still counts.
func TestFindReadsTheStartOfAHugeBody(t *testing.T) {
	t.Parallel()
	body := `{"error":{"code":"c","message":"` + strings.Repeat("prompt ", 1<<18) + `"}}`
	codes, _, message := policy.Find([]byte(body))
	if fmt.Sprint(codes) != "[c]" || message != "" {
		t.Errorf("%v, %d bytes", codes, len(message))
	}
}
