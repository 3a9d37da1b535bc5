package producer

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
)

// The headers of a message in JOBS, all of them optional.
const (
	HeaderBatch       = "Nightshift-Batch"    // the batch, where the subject does not name it
	HeaderDeadline    = "Nightshift-Deadline" // RFC 3339; not called after it
	HeaderLine        = "Nightshift-Line"     // the line of the file it came from, from 1
	HeaderLook        = "Nightshift-Look"     // may be a second copy: look for an ending first
	HeaderInvalid     = "Nightshift-Invalid"  // why this line of a file is no job, whatever it says
	HeaderKey         = "Nightshift-Key"      // the key of a job that is replayed; over all it says
	HeaderReplay      = "Nightshift-Replay"   // what became of a replayed job before, as JSON
	HeaderTraceparent = "traceparent"         // W3C Trace Context
)

// LooseBatch is the batch of jobs published by hand without one.
const LooseBatch = "loose"

// Job is one prompt request: what a message of the JOBS stream says.
type Job struct {
	ID          string         // custom_id as its author wrote it; empty without one
	Key         string         // names the job in subjects: unique in its batch, a ValidName
	Queue       string         // a ValidName
	Batch       string         // a ValidName
	URL         string         // one of Endpoints
	Body        jsontext.Value // the request body: one JSON object, a slice of the message's data
	Deadline    time.Time      // zero for none
	Traceparent string         // empty for none
}

// Decode reads a message of the JOBS stream: an OpenAI batch line or a bare request body.
//
// Data without any of the members custom_id, method, url and body is a bare request body; its
// endpoint follows from the member it has: messages (/v1/chat/completions), input (/v1/responses,
// which may have a prompt besides) or prompt (/v1/completions). For another endpoint send a line.
// The key comes from the custom_id, else the Nats-Msg-Id, else it is "s" and the stream sequence.
// A replayed job keeps the key it had, by [HeaderKey].
// The batch comes from the subject, else the header, else it is LooseBatch.
// A traceparent that is not in W3C's form is dropped, as W3C asks.
// A line that its submitter found invalid says so in a header, and is an error even if it would be
// a job by itself, as the second of two lines with one custom_id would; its key is "l" and its
// line number.
//
// Every error is a *[FormatError] and will not go away by trying again. The Job has its Key, Queue
// and Batch then too, as far as they can be told, so that the message can be buried under its name;
// Queue is empty where the subject is not jobs.<queue> or jobs.<queue>.<batch>.
// Body is a slice of data.
func Decode(subject string, header nats.Header, data []byte, sequence uint64) (Job, error) {
	job, err := decodeData(data)
	if why := header.Get(HeaderInvalid); why != "" {
		job, err = invalidLine(header, job.ID), reason(why)
	}
	if key := header.Get(HeaderKey); ValidName(key) { // without a custom_id it would get another
		job.Key = key
	}
	job.Traceparent = validTraceparent(header.Get(HeaderTraceparent))
	if job.Key == "" {
		job.Key = messageKey(header, sequence)
	}
	addressErr := job.setAddress(subject, header)
	return job, cmp.Or(addressErr, job.setDeadline(header), err)
}

// ParseLine reads one line of an OpenAI batch file: custom_id, method, url and body, in any order.
//
// The custom_id is required: 1 to 512 bytes without control characters. The method is POST or
// absent, the url one of [Endpoints] or absent, the body a JSON object. Other members are ignored,
// as OpenAI does. The line is UTF-8, and no object in it has a name twice: two readers of such a
// line could see two prompts.
//
// The Job has no Queue and no Batch; its Body is a slice of line. Every error is a *[FormatError].
func ParseLine(line []byte) (Job, error) {
	m := new(members)
	return m.parseLine(line)
}

func (m *members) parseLine(line []byte) (Job, error) {
	if err := m.read(line); err != nil {
		return Job{}, err
	}
	if m.id == nil {
		return Job{}, reason("custom_id is missing")
	}
	return m.line()
}

func decodeData(data []byte) (Job, error) {
	m := new(members)
	if err := m.read(data); err != nil {
		id, _ := m.readID()
		return named(id), err
	}
	if m.isLine() {
		return m.line()
	}
	url := m.bareURL()
	if url == "" {
		return Job{}, reason("expected a batch line with a body, " +
			"or a request body with messages, input or prompt")
	}
	body := bytes.Trim(m.data, " \t\r\n")
	return Job{URL: url, Body: slices.Clip(body)}, nil
}

// named is a job of which only the id is known.
func named(id string) Job {
	if id == "" {
		return Job{}
	}
	return Job{ID: id, Key: Key(id)}
}

// invalidLine has the key its submitter counts on when it looks for the line's ending.
func invalidLine(header nats.Header, id string) Job {
	job := Job{ID: id}
	if line, err := strconv.Atoi(header.Get(HeaderLine)); err == nil && line > 0 {
		job.Key = lineKey(line)
	}
	return job
}

// messageKey names a job without a custom_id.
func messageKey(header nats.Header, sequence uint64) string {
	if id := header.Get(nats.MsgIdHdr); id != "" {
		return Key(id)
	}
	return "s" + strconv.FormatUint(sequence, 10)
}

func (j *Job) setAddress(subject string, header nats.Header) error {
	j.Batch = LooseBatch
	rest, _ := strings.CutPrefix(subject, subjectRoot)
	queue, batch, inSubject := strings.Cut(rest, ".")
	if rest == subject || !ValidName(queue) || inSubject && !ValidName(batch) {
		return reason("subject: expected jobs.<queue> or jobs.<queue>.<batch>, names of " + nameRule)
	}
	j.Queue = queue
	if !inSubject {
		batch = header.Get(HeaderBatch)
	}
	switch {
	case batch == "":
		return nil
	case !ValidName(batch):
		return reason("header " + HeaderBatch + ": expected " + nameRule)
	}
	j.Batch = batch
	return nil
}

func (j *Job) setDeadline(header nats.Header) error {
	text := header.Get(HeaderDeadline)
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return reason("header " + HeaderDeadline + ": expected a time such as 2006-01-02T15:04:05Z")
	}
	j.Deadline = t
	return nil
}

// validTraceparent returns s if it can go on to a provider as a header, else nothing: our senders
// are anybody, and an odd header would fail the call, which is the wrong thing to fail it.
func validTraceparent(s string) string {
	const version00 = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if len(s) != version00 {
		return ""
	}
	for i := range len(s) {
		if isDash := i == 2 || i == 35 || i == 52; isDash != (s[i] == '-') || !isDash && !isLowerHex(s[i]) {
			return ""
		}
	}
	return s
}
