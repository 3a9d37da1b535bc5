package producer_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/deploy/broker/brokertest"
	"nightshift/producer"
)

// remark changes what the stream of jobs says of its format.
func remark(t *testing.T, js jetstream.JetStream, metadata map[string]string) {
	t.Helper()
	s, err := js.Stream(t.Context(), producer.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Metadata = metadata
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	js, err := jetstream.New(brokertest.New(t).Conn())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		metadata  map[string]string // nil: as it was made
		newer, ok bool
	}{
		{ok: true},
		{ok: true},
		{metadata: map[string]string{}, ok: true}, // made by an operator
		{metadata: map[string]string{"nightshift.format": "2"}, newer: true},
		{metadata: map[string]string{"nightshift.format": "two"}},
		{metadata: map[string]string{"nightshift.format": "1"}, ok: true},
	} {
		if c.metadata != nil {
			remark(t, js, c.metadata)
		}
		_, err := producer.New(t.Context(), js, producer.Config{})
		if (err == nil) != c.ok || errors.Is(err, producer.ErrNewer) != c.newer {
			t.Errorf("%v: %v", c.metadata, err)
		}
	}
}
