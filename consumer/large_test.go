package consumer_test

import (
	"bytes"
	"strings"
	"testing"

	"nightshift/policy"
	"nightshift/producer"
)

// A job as large as the queue takes fits as a dead letter too; a larger one is refused at the
// door, where its publisher hears of it.
func TestLargestJobFitsAsDeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const frame = `{"custom_id":"big","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"[[sim:400]]"}]}}`
	room := int(w.broker.Conn().MaxPayload()) - producer.Headroom
	body := []byte(strings.Replace(frame, "[[sim:400]]", "[[sim:400]]"+strings.Repeat("x", room-len(frame)), 1))
	check(t, w.prod.Publish(t.Context(), "default", "", body))
	w.start(t)
	w.ended(t, producer.LooseBatch, 1)
	l := w.letter(t, producer.LooseBatch, "big")
	if l.Class != policy.BadRequest || !bytes.Equal(l.Body, body) {
		t.Errorf("the dead letter is %s with %d of %d bytes", l.Class, len(l.Body), len(body))
	}
	w.drained(t)
	if err := w.prod.Publish(t.Context(), "default", "", append(body, make([]byte, 32<<10)...)); err == nil {
		t.Error("a job whose dead letter would not fit was taken")
	}
}
