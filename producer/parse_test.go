package producer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"nightshift/producer"
)

// marker stands for a prompt: wherever a test puts it, no error may show it.
const marker = "MARKER-8c1f"

const body = `{"model":"m","messages":[{"role":"user","content":"` + marker + `"}]}`

type badLine struct{ name, line, want string }

const allEndpoints = "/v1/chat/completions, /v1/completions, /v1/embeddings, " +
	"/v1/responses, /v1/moderations, /v1/messages"

// badLines are wrong as messages, too.
func badLines() []badLine {
	long := strings.Repeat("é", 257)
	return []badLine{
		{"body missing", `{"custom_id":"a"}`, "body is missing"},
		{"body and id misplaced", `{"custom_id":"a","messages":["` + marker + `"]}`, "body is missing"},
		{"body null", `{"custom_id":"a","body":null}`, "body: expected a JSON object"},
		{"body a string", `{"custom_id":"a","body":"` + marker + `"}`, "body: expected a JSON object"},
		{"body an array", `{"custom_id":"a","body":[` + body + `]}`, "body: expected a JSON object"},
		{"id a number", `{"custom_id":7,"body":` + body + `}`, "custom_id: expected a string"},
		{"id null", `{"custom_id":null,"body":` + body + `}`, "custom_id: expected a string"},
		{"id an object", `{"custom_id":` + body + `,"body":{}}`, "custom_id: expected a string"},
		{"id empty", `{"custom_id":"","body":` + body + `}`, "custom_id is empty"},
		{
			"id too long", `{"custom_id":"` + long + `","body":` + body + `}`,
			`custom_id "` + strings.Repeat("é", 32) + `"…: 514 bytes, expected at most 512`,
		},
		{
			"id with a line end", `{"custom_id":"a\nb","body":` + body + `}`,
			`custom_id "a\nb": has a control character`,
		},
		{
			"id with NUL", `{"custom_id":"a\u0000","body":` + body + `}`,
			`custom_id "a\x00": has a control character`,
		},
		{
			"id with C1", `{"custom_id":"a\u0085","body":` + body + `}`,
			`custom_id "a\u0085": has a control character`,
		},
		{"GET", `{"custom_id":"a","method":"GET","body":` + body + `}`, `method: expected "POST"`},
		{"method in lower case", `{"custom_id":"a","method":"post","body":` + body + `}`, `method: expected "POST"`},
		{"method null", `{"custom_id":"a","method":null,"body":` + body + `}`, `method: expected "POST"`},
		{
			"wrong url", `{"custom_id":"a","url":"/v1/files/` + marker + `","body":` + body + `}`,
			"url: expected one of " + allEndpoints,
		},
		{"url without v1", `{"custom_id":"a","url":"/completions","body":{}}`, "url: expected one of " + allEndpoints},
		{"url empty", `{"custom_id":"a","url":"","body":{}}`, "url: expected one of " + allEndpoints},
		{"url a number", `{"custom_id":"a","url":1,"body":{}}`, "url: expected one of " + allEndpoints},
		{"url with a query", `{"custom_id":"a","url":"/v1/completions?k=v","body":{}}`, "url: expected one of " + allEndpoints},
		{
			"host in url", `{"custom_id":"a","url":"https://` + marker + `/v1/completions","body":{}}`,
			"url: expected a path such as /v1/chat/completions, without a host",
		},
		{
			"host without a scheme", `{"custom_id":"a","url":"//evil.example/v1/completions","body":{}}`,
			"url: expected a path such as /v1/chat/completions, without a host",
		},
		{"not UTF-8", `{"custom_id":"a","body":{"x":"` + marker + "\xff" + `"}}`, "not valid UTF-8"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "not valid UTF-8"},
		{"half a surrogate pair", `{"custom_id":"a","body":{"x":"` + marker + `\ud800"}}`, "not valid JSON at byte 42"},
		{"truncated", `{"custom_id":"a","body":{"x":"` + marker, "the JSON ends too early, at byte 42"},
		{"truncated in a character", `{"custom_id":"a","body":{"x":"` + "\xc3", "the JSON ends too early, at byte 31"},
		{"only an opening brace", `{`, "the JSON ends too early, at byte 2"},
		{"trailing data", `{"custom_id":"a","body":{}} ` + body, "something follows the JSON object, at byte 29"},
		{"trailing comma", `{"custom_id":"a","body":{}},`, "something follows the JSON object, at byte 28"},
		{"comma before the end", `{"custom_id":"a","body":{},}`, "not valid JSON at byte 27"},
		{"NUL after", `{"custom_id":"a","body":{}}` + "\x00", "something follows the JSON object, at byte 28"},
		{"NUL within", `{"custom_id":"a",` + "\x00" + `"body":{}}`, "not valid JSON at byte 18"},
		{"NUL in a string", `{"custom_id":"a","body":{"x":"` + marker + "\x00" + `"}}`, "not valid JSON at byte 42"},
		{"only NUL", "\x00\x00\x00", "expected a JSON object"},
		{"plain text", marker, "expected a JSON object"},
		{"an array", `[` + body + `]`, "expected a JSON object"},
		{"a string", `"` + marker + `"`, "expected a JSON object"},
		{"null", `null`, "expected a JSON object"},
		{"two ids", `{"custom_id":"a","custom_id":"b","body":{}}`, "an object has the same name twice, at byte 18"},
		{"two ids, one escaped", `{"custom_id":"a","custom\u005fid":"b","body":{}}`, "an object has the same name twice, at byte 18"},
		{
			"a name twice in the body", `{"custom_id":"a","body":{"` + marker + `":1,"` + marker + `":2}}`,
			"an object has the same name twice, at byte 42",
		},
		{"not a number", `{"custom_id":"a","body":{"x":01}}`, "not valid JSON at byte 31"},
		{"single quotes", `{'custom_id':'` + marker + `'}`, "not valid JSON at byte 2"},
		{"unknown word", `{"custom_id":"a","body":{"x":` + marker + `}}`, "not valid JSON at byte 30"},
	}
}

func TestParseLineErrors(t *testing.T) {
	t.Parallel()
	lines := append(badLines(),
		badLine{"id missing", `{"body":` + body + `}`, "custom_id is missing"},
		badLine{"bare request", body, "custom_id is missing"},
		badLine{"empty", "", "expected a JSON object"},
	)
	for _, test := range lines {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := producer.ParseLine([]byte(test.line))
			checkReason(t, err, test.want)
		})
	}
}

func checkReason(t *testing.T, err error, want string) {
	t.Helper()
	var format *producer.FormatError
	if !errors.As(err, &format) {
		t.Fatalf("error %v, want a FormatError", err)
	}
	if format.Reason != want {
		t.Errorf("reason %q\n  want %q", format.Reason, want)
	}
	if strings.Contains(err.Error(), marker) {
		t.Errorf("the error shows the prompt: %v", err)
	}
}

func TestParseLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, line, id, key, url, body string }{
		{
			"as OpenAI writes it",
			`{"custom_id": "r1", "method": "POST", "url": "/v1/embeddings", "body": ` + body + `}`,
			"r1", "r1", "/v1/embeddings", body,
		},
		{"backwards", `{"body":{},"url":"/v1/messages","method":"POST","custom_id":"r"}`, "r", "r", "/v1/messages", "{}"},
		{"least", `{"custom_id":"r","body":{}}`, "r", "r", "/v1/chat/completions", "{}"},
		{
			"unknown members", `{"x":[1,{"body":2}],"custom_id":"r","messages":3,"body":{ },"":null}`,
			"r", "r", "/v1/chat/completions", "{ }",
		},
		{
			"escapes, as PHP writes them",
			`{"custom\u005fid":"\u0072","method":"\u0050OST","url":"\/v1\/completions","body":{"a\/":"\n"}}`,
			"r", "r", "/v1/completions", `{"a\/":"\n"}`,
		},
		{"spaces around", " \t{ \"custom_id\" : \"r\" , \"body\" : {} } \r", "r", "r", "/v1/chat/completions", "{}"},
		{"id that is no name", `{"custom_id":"hello world","body":{}}`, "hello world", "h_b94d27b9934d3e08a52e52d7da7dabfa", "/v1/chat/completions", "{}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			job, err := producer.ParseLine([]byte(test.line))
			if err != nil {
				t.Fatal(err)
			}
			got := [4]string{job.ID, job.Key, job.URL, string(job.Body)}
			if want := [4]string{test.id, test.key, test.url, test.body}; got != want {
				t.Errorf("got %q\nwant %q", got, want)
			}
			if len(job.Body) != cap(job.Body) {
				t.Error("appending to the body would write into the line")
			}
		})
	}
}

// What encoding/json writes comes back as it was, in whatever order.
func TestParseLineRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringOfN(rapid.Rune().Filter(printable), 1, -1, 512).Draw(t, "id")
		url := rapid.SampledFrom(producer.Endpoints()).Draw(t, "url")
		body, err := json.Marshal(map[string]string{
			"prompt": rapid.String().Draw(t, "prompt"), rapid.String().Draw(t, "name"): "x",
		})
		if err != nil {
			t.Fatal(err)
		}
		line := marshalMembers(t, map[string]any{
			"custom_id": id, "url": url, "method": "POST", "body": json.RawMessage(body), "extra": 1,
		})
		job, err := producer.ParseLine(line)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if job.ID != id || job.URL != url || !bytes.Equal(job.Body, body) || job.Key != producer.Key(id) {
			t.Fatalf("got %q %q %s %s from %s", job.ID, job.URL, job.Body, job.Key, line)
		}
	})
}

func printable(r rune) bool { return !unicode.IsControl(r) && utf8.ValidRune(r) }

// marshalMembers writes an object with its members in any order and any spacing.
func marshalMembers(t *rapid.T, members map[string]any) []byte {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	space := rapid.SampledFrom([]string{"", " ", "\t"})
	parts := make([]string, 0, len(names))
	for _, name := range rapid.Permutation(sorted(names)).Draw(t, "order") {
		value, err := json.Marshal(members[name])
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, space.Draw(t, "s")+`"`+name+`"`+space.Draw(t, "s")+":"+string(value))
	}
	return []byte("{" + strings.Join(parts, ",") + space.Draw(t, "s") + "}")
}

// A damaged line may be an error or not, and never shows what was in its body.
func TestDamagedLineShowsNoPrompt(t *testing.T) {
	t.Parallel()
	whole := []byte(`{"custom_id":"id","method":"POST","url":"/v1/completions","body":` + body + `}`)
	rapid.Check(t, func(t *rapid.T) {
		line := bytes.Clone(whole)
		for range rapid.IntRange(1, 2).Draw(t, "damages") {
			line = damage(t, line)
		}
		_, err := producer.ParseLine(line)
		if err != nil && strings.Contains(err.Error(), marker) {
			t.Fatalf("%v from %s", err, line)
		}
	})
}

func damage(t *rapid.T, line []byte) []byte {
	at := rapid.IntRange(0, len(line)-1).Draw(t, "at")
	b := rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(`{}[]",:\`))).Draw(t, "byte")
	switch rapid.SampledFrom([]string{"cut", "drop", "set", "insert"}).Draw(t, "damage") {
	case "cut":
		return line[:max(at, 1)]
	case "drop":
		return append(line[:at:at], line[at+1:]...)
	case "set":
		line[at] = b
		return line
	}
	return append(append(line[:at:at], b), line[at:]...)
}

func FuzzParseLine(f *testing.F) {
	for _, test := range badLines() {
		f.Add([]byte(test.line))
	}
	f.Add([]byte(`{"custom_id":"r1","method":"POST","url":"/v1/messages","body":` + body + `}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		job, err := producer.ParseLine(line)
		if !bytes.Equal(before, line) {
			t.Fatal("the line was written to")
		}
		if err != nil {
			checkOneLine(t, err)
			return
		}
		checkJob(t, job)
		if job.ID == "" || job.Key != producer.Key(job.ID) {
			t.Errorf("id %q, key %q", job.ID, job.Key)
		}
	})
}

// checkOneLine bounds a reason: 64 bytes of an id take 4 times that where all are escaped.
func checkOneLine(t *testing.T, err error) {
	t.Helper()
	var format *producer.FormatError
	if !errors.As(err, &format) || format.Reason == "" {
		t.Fatalf("error %v, want a FormatError", err)
	}
	if text := err.Error(); len(text) > 400 || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		t.Errorf("not one short line: %q", text)
	}
}

// checkJob tests what every job is, by the judgement of another JSON library.
func checkJob(t *testing.T, job producer.Job) {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(job.Body, &object); err != nil || object == nil || !utf8.Valid(job.Body) {
		t.Errorf("body %q: %v", job.Body, err)
	}
	known := false
	for _, endpoint := range producer.Endpoints() {
		known = known || job.URL == endpoint
	}
	if !known || !producer.ValidName(job.Key) || len(job.ID) > 512 {
		t.Errorf("url %q, key %q, id %q", job.URL, job.Key, job.ID)
	}
}
