package producer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"nightshift/producer"
)

func header(pairs ...string) nats.Header {
	h := nats.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestDecode(t *testing.T) {
	t.Parallel()
	chat := func(j producer.Job) producer.Job {
		j.Queue, j.URL, j.Body = "q", "/v1/chat/completions", []byte(body)
		return j
	}
	line := func(id string) string { return `{"custom_id":"` + id + `","body":` + body + `}` }
	for _, test := range []struct {
		name, subject string
		header        nats.Header
		data          string
		want          producer.Job
	}{
		{
			"line", "jobs.q.b", nil, line("a"),
			chat(producer.Job{ID: "a", Key: "a", Batch: "b"}),
		},
		{
			"line without id", "jobs.q.b", nil, `{"body":` + body + `}`,
			chat(producer.Job{Key: "s7", Batch: "b"}),
		},
		{
			"bare body", "jobs.q", nil, body,
			chat(producer.Job{Key: "s7", Batch: "loose"}),
		},
		{
			"bare body with spaces", "jobs.q", nil, "\r\n " + body + "\n",
			chat(producer.Job{Key: "s7", Batch: "loose"}),
		},
		{
			"message id", "jobs.q", header("Nats-Msg-Id", "m"), body,
			chat(producer.Job{Key: "m", Batch: "loose"}),
		},
		{
			"message id that looks like a sequence", "jobs.q", header("Nats-Msg-Id", "s7"), body,
			chat(producer.Job{Key: producer.Key("s7"), Batch: "loose"}),
		},
		{
			"custom_id before message id", "jobs.q", header("Nats-Msg-Id", "m"), line("a"),
			chat(producer.Job{ID: "a", Key: "a", Batch: "loose"}),
		},
		{
			"batch in header", "jobs.q", header("Nightshift-Batch", "h"), body,
			chat(producer.Job{Key: "s7", Batch: "h"}),
		},
		{
			"batch in both", "jobs.q.b", header("Nightshift-Batch", "not a name"), body,
			chat(producer.Job{Key: "s7", Batch: "b"}),
		},
		{
			"deadline", "jobs.q", header("Nightshift-Deadline", "2026-08-20T06:00:00.5+02:00"), body,
			chat(producer.Job{
				Key: "s7", Batch: "loose", Deadline: time.Date(2026, 8, 20, 4, 0, 0, 5e8, time.UTC),
			}),
		},
		{
			"traceparent", "jobs.q", header("traceparent", trace), body,
			chat(producer.Job{Key: "s7", Batch: "loose", Traceparent: trace}),
		},
		{
			"odd traceparent", "jobs.q", header("traceparent", strings.ToUpper(trace)), body,
			chat(producer.Job{Key: "s7", Batch: "loose"}),
		},
		{
			"longer traceparent", "jobs.q", header("traceparent", trace+"\x00"), body,
			chat(producer.Job{Key: "s7", Batch: "loose"}),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := producer.Decode(test.subject, test.header, []byte(test.data), 7)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeBareURL(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"messages":[]}`:                          "/v1/chat/completions",
		`{"model":"m","prompt":"p"}`:               "/v1/completions",
		`{"input":"i"}`:                            "/v1/responses",
		`{"prompt":{"id":"template"},"input":"i"}`: "/v1/responses",
		`{"prompt":"p","messages":[]}`:             "/v1/chat/completions",
		`{"body":{"input":"i"}}`:                   "/v1/chat/completions", // a line
		`{"url":"/v1/embeddings","body":{}}`:       "/v1/embeddings",
	} {
		job, err := producer.Decode("jobs.q", nil, []byte(data), 1)
		if err != nil || job.URL != want {
			t.Errorf("%s: %q, %v; want %q", data, job.URL, err, want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	bare := "expected a batch line with a body, or a request body with messages, input or prompt"
	lines := append(badLines(),
		badLine{"empty", "", "expected a JSON object"},
		badLine{"empty object", "{}", bare},
		badLine{"another object", `{"question":"` + marker + `"}`, bare},
		badLine{"only url", `{"url":"/v1/messages"}`, "body is missing"},
	)
	for _, test := range lines {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			job, err := producer.Decode("jobs.q.b", nil, []byte(test.line), 7)
			checkReason(t, err, test.want)
			if job.Queue != "q" || job.Batch != "b" || !producer.ValidName(job.Key) {
				t.Errorf("cannot be buried: %+v", job)
			}
		})
	}
}

func TestDecodeAddressErrors(t *testing.T) {
	t.Parallel()
	const subject = "subject: expected jobs.<queue> or jobs.<queue>.<batch>, names of 1 to 64 of A-Z a-z 0-9 _ -"
	for _, test := range []struct {
		subject string
		header  nats.Header
		want    string
		queue   string
	}{
		{"jobs", nil, subject, ""},
		{"jobs.", nil, subject, ""},
		{"other.q", nil, subject, ""},
		{"jobs.q.b.c", nil, subject, ""},
		{"jobs.q@.b", nil, subject, ""},
		{"jobs.q.b@", nil, subject, ""},
		{"jobs.q.", nil, subject, ""},
		{"jobs.q", header("Nightshift-Batch", "a.b"), "header Nightshift-Batch: expected 1 to 64 of A-Z a-z 0-9 _ -", "q"},
		{"jobs.q", header("Nightshift-Deadline", "tomorrow"), "header Nightshift-Deadline: expected a time such as 2006-01-02T15:04:05Z", "q"},
		{"jobs.q", header("Nightshift-Deadline", "2026-08-20"), "header Nightshift-Deadline: expected a time such as 2006-01-02T15:04:05Z", "q"},
	} {
		job, err := producer.Decode(test.subject, test.header, []byte(body), 7)
		checkReason(t, err, test.want)
		if job.Queue != test.queue || job.Batch != "loose" || job.Key != "s7" {
			t.Errorf("%s: cannot be buried: %+v", test.subject, job)
		}
	}
}

// A malformed job keeps the name its author gave it, as far as it could be read.
func TestDecodeNamesMalformedJobs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header        nats.Header
		data, id, key string
	}{
		{nil, `{"custom_id":"a","body":1}`, "a", "a"},
		{nil, `{"custom_id":"a","method":"GET","body":{}}`, "a", "a"},
		{nil, `{"custom_id":"a","url":"x","body":{}}`, "a", "a"},
		{nil, `{"custom_id":"a b","body":{`, "a b", producer.Key("a b")},
		{nil, `{"body":{`, "", "s7"},
		{nil, `{"custom_id":"","body":{}}`, "", "s7"},
		{nil, `{"custom_id":"a\n","body":{`, "", "s7"},
		{header("Nats-Msg-Id", "m"), marker, "", "m"},
	} {
		job, err := producer.Decode("jobs.q", test.header, []byte(test.data), 7)
		if err == nil || job.ID != test.id || job.Key != test.key || job.Body != nil {
			t.Errorf("%s: %v, id %q key %q", test.data, err, job.ID, job.Key)
		}
	}
}

// A line submitted as invalid stays invalid, also where it would be a job by itself.
func TestDecodeInvalidLine(t *testing.T) {
	t.Parallel()
	why := `custom_id "a" is already on line 3`
	h := header("Nightshift-Invalid", why, "Nightshift-Line", "9")
	for _, data := range []string{`{"custom_id":"a","body":{}}`, "", marker} {
		job, err := producer.Decode("jobs.q.b", h, []byte(data), 7)
		checkReason(t, err, why)
		if job.Key != "l9" || job.Batch != "b" || job.Body != nil {
			t.Errorf("job %+v", job)
		}
	}
	job, err := producer.Decode("jobs.q.b", header("Nightshift-Invalid", why), nil, 7)
	if checkReason(t, err, why); job.Key != "s7" {
		t.Errorf("without its line: key %s", job.Key)
	}
}

func FuzzDecode(f *testing.F) {
	for _, test := range badLines() {
		f.Add("jobs.q.b", "", "", "", "", []byte(test.line))
	}
	f.Add("jobs.q", "b", "2026-08-20T06:00:00Z", "m", "", []byte(body))
	f.Add("jobs.q", "b", "", "m", "not a job", []byte(body))
	f.Fuzz(func(t *testing.T, subject, batch, deadline, id, invalid string, data []byte) {
		h := nats.Header{
			"Nightshift-Batch": {batch}, "Nightshift-Deadline": {deadline},
			"Nats-Msg-Id": {id}, "Nightshift-Invalid": {invalid}, "traceparent": {id},
		}
		job, err := producer.Decode(subject, h, data, 1)
		if !producer.ValidName(job.Key) || !producer.ValidName(job.Batch) {
			t.Errorf("cannot be buried: %+v", job)
		}
		if job.Queue != "" && !producer.ValidName(job.Queue) {
			t.Errorf("queue %q", job.Queue)
		}
		switch {
		case err != nil && invalid == "":
			checkOneLine(t, err)
		case err != nil:
			if errors.As(err, new(*producer.FormatError)) {
				return
			}
			t.Errorf("error %v, want a FormatError", err)
		default:
			checkJob(t, job)
		}
	})
}
