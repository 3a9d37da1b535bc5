package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/deploy/broker/brokertest"
	"nightshift/producer"
)

// queue is a broker with a producer.
type queue struct {
	*producer.Producer
	js jetstream.JetStream
}

func newQueue(tb testing.TB, c producer.Config) *queue {
	tb.Helper()
	b := brokertest.New(tb)
	js, err := jetstream.New(b.Conn())
	check(tb, err)
	p, err := producer.New(tb.Context(), js, c)
	check(tb, err)
	return &queue{p, js}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func check(tb fataler, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(job(fmt.Sprintf("job-%d", i)) + "\n")
	}
	return b.String()
}

// validated opens a batch file and validates it.
func validated(tb testing.TB, text string) (*producer.Source, producer.Report) {
	tb.Helper()
	src := open(tb, text)
	r, err := src.Validate(tb.Context(), producer.Limits{})
	check(tb, err)
	return src, r
}

// take reads what is on a queue, in order, and settles it if it is told to.
func (q *queue) take(ctx context.Context, tb fataler, subject string, settle func(jetstream.Msg)) []jetstream.Msg {
	tb.Helper()
	s, err := q.js.Stream(ctx, producer.Stream)
	check(tb, err)
	var all []jetstream.Msg
	// A new one counts what is there; an old one may not have heard of the latest yet.
	if err := s.DeleteConsumer(ctx, "test"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		check(tb, err)
	}
	c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "test", FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	})
	check(tb, err)
	for n := int(c.CachedInfo().NumPending); len(all) < n; {
		batch, err := c.Fetch(min(n-len(all), 1000), jetstream.FetchMaxWait(patience))
		check(tb, err)
		for m := range batch.Messages() {
			all = append(all, m)
			if settle != nil {
				settle(m)
			}
		}
		check(tb, batch.Error())
	}
	return all
}

// keys gives the jobs of messages as their consumer sees them.
func keys(tb fataler, all []jetstream.Msg) (out []string, looks int) {
	tb.Helper()
	for _, m := range all {
		meta, err := m.Metadata()
		check(tb, err)
		j, _ := producer.Decode(m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream)
		out = append(out, j.Key)
		if m.Headers().Get(producer.HeaderLook) != "" {
			looks++
		}
	}
	return out, looks
}

func numbered0(n int) []string {
	var all []string
	for i := range n {
		all = append(all, "job-"+strconv.Itoa(i))
	}
	return all
}
