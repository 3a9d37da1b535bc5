package consumer_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
	"nightshift/producer"
)

func body(prompt string) string {
	return fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":%q}]}`, prompt)
}

func line(id, prompt string) string {
	return fmt.Sprintf(`{"custom_id":%q,"body":%s}`, id, body(prompt))
}

// put publishes a job of a batch; header holds pairs.
func (w *world) put(t *testing.T, batch, data string, header ...string) {
	t.Helper()
	m := nats.NewMsg(producer.Subject("default", batch))
	m.Data = []byte(data)
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	_, err := w.js.PublishMsg(t.Context(), m)
	check(t, err)
}

// putMany publishes n jobs with the keys job-0, job-1, ….
func (w *world) putMany(t *testing.T, batch string, n int, prompt string) {
	t.Helper()
	w.putOn(t, "default", batch, n, prompt)
}

func (w *world) putOn(t *testing.T, queue, batch string, n int, prompt string) {
	t.Helper()
	for from := 0; from < n; from += producer.MaxAtomic {
		var msgs []*nats.Msg
		for i := from; i < min(n, from+producer.MaxAtomic); i++ {
			m := nats.NewMsg(producer.Subject(queue, batch))
			m.Data = []byte(line(fmt.Sprintf("job-%d", i), prompt))
			msgs = append(msgs, m)
		}
		check(t, producer.PublishAtomic(t.Context(), w.broker.Conn(), msgs))
	}
}

// mark writes a dead letter's marker and no entry, as who died between the two.
func (w *world) mark(t *testing.T, batch, key string, class policy.Class) {
	t.Helper()
	w.end(t, batch, key, "dead", fmt.Sprintf(`{"call":"another","class":%q}`, class), "")
}

// end writes an ending as another worker would.
func (w *world) end(t *testing.T, batch, key, kind, meta, data string) {
	t.Helper()
	m := nats.NewMsg("results." + batch + "." + key)
	m.Data = []byte(data)
	m.Header.Set("Nightshift-Ending", kind)
	m.Header.Set("Nightshift-Meta", meta)
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	_, err := w.js.PublishMsg(t.Context(), m)
	check(t, err)
}

// history writes down what happened to a job before.
func history(t *testing.T, w *world, batch, key string, h policy.History) {
	t.Helper()
	kv, err := w.js.KeyValue(t.Context(), "HISTORY")
	check(t, err)
	data, err := json.Marshal(h)
	check(t, err)
	_, err = kv.Put(t.Context(), batch+"."+key, data)
	check(t, err)
}
