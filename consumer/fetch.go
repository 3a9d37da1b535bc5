package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/producer"
)

// answerWait is how long the broker may be silent beyond the time it was asked to wait.
const answerWait = time.Second

// jobsRequest asks a consumer for jobs (ADR-13).
type jobsRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"`
	NoWait  bool          `json:"no_wait,omitempty"`
}

// fetched is what came of a request for jobs: a jetstream.MessageBatch.
type fetched struct {
	jobs chan jetstream.Msg
	err  error // when jobs is closed
}

func (f *fetched) Messages() <-chan jetstream.Msg { return f.jobs }
func (f *fetched) Error() error                   { return f.err }

// fetchJobs asks for at most n jobs of a lane, and has the broker wait for the first of them so
// long; 0 for not at all. The Fetch of nats.go gives up a second after that, whatever is on its
// way: a job that takes longer to come over a slow link would never be worked, and each time pass
// for a crash.
func (c *Consumer) fetchJobs(l *lane, n int, wait time.Duration) (jetstream.MessageBatch, error) {
	nc := c.js.Conn()
	ask, err := json.Marshal(jobsRequest{Batch: n, Expires: wait, NoWait: wait == 0})
	if err != nil {
		return nil, fmt.Errorf("encode request for jobs: %w", err)
	}
	in := make(chan *nats.Msg, n+8) // and what the broker says of the request
	// Not one of the inboxes that requests share: these replies bear the subjects of the jobs.
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, in)
	if err != nil {
		return nil, err
	}
	if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+producer.Stream+"."+durableName(l.subject), inbox, ask); err != nil {
		_ = sub.Unsubscribe()
		return nil, err
	}
	f := &fetched{jobs: make(chan jetstream.Msg, n)}
	go func() {
		defer close(f.jobs)
		defer func() { _ = sub.Unsubscribe() }()
		f.receive(n, func() *nats.Msg { return c.next(in, wait+answerWait) })
	}()
	return f, nil
}

// receive takes what comes until it is all, or the broker says that there is no more.
func (f *fetched) receive(n int, next func() *nats.Msg) {
	for got := 0; got < n; {
		m := next()
		if m == nil {
			return
		}
		switch status := m.Header.Get("Status"); {
		case status == "" || len(m.Data) > 0:
			f.jobs <- &pulled{m}
			got++
		case status == "100": // the broker lives
		case status == "404", status == "408": // no more, or not in time
			return
		case status == "503":
			f.err = nats.ErrNoResponders
			return
		default:
			f.err = fmt.Errorf("status %s, %s", status, m.Header.Get("Description"))
			return
		}
	}
}

// next waits for the next message. When the broker has been silent for so long it asks for an
// answer: what was sent before that has come by then, however slow the link is.
func (c *Consumer) next(in <-chan *nats.Msg, silence time.Duration) *nats.Msg {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	select {
	case m := <-in:
		return m
	case <-quiet.C:
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.c.AckWait)
	defer cancel()
	_ = c.js.Conn().FlushWithContext(ctx) // after a failure there may be something too
	select {
	case m := <-in:
		return m
	default:
		return nil
	}
}

// pulled is a delivery: nats.go makes its own only for what its own Fetch gets.
type pulled struct{ m *nats.Msg }

var _ jetstream.Msg = (*pulled)(nil)

func (p *pulled) Data() []byte         { return p.m.Data }
func (p *pulled) Headers() nats.Header { return p.m.Header }
func (p *pulled) Subject() string      { return p.m.Subject }
func (p *pulled) Reply() string        { return p.m.Reply }

func (p *pulled) Metadata() (*jetstream.MsgMetadata, error) {
	m, err := p.m.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: m.Sequence.Consumer, Stream: m.Sequence.Stream},
		NumDelivered: m.NumDelivered, NumPending: m.NumPending, Timestamp: m.Timestamp,
		Stream: m.Stream, Consumer: m.Consumer, Domain: m.Domain,
	}, nil
}

func (p *pulled) Ack() error                             { return p.m.Ack() }
func (p *pulled) DoubleAck(ctx context.Context) error    { return p.m.AckSync(nats.Context(ctx)) }
func (p *pulled) Nak() error                             { return p.m.Nak() }
func (p *pulled) NakWithDelay(delay time.Duration) error { return p.m.NakWithDelay(delay) }
func (p *pulled) InProgress() error                      { return p.m.InProgress() }
func (p *pulled) Term() error                            { return p.m.Term() }

// TermWithReason names the reason in the broker's own report of it.
func (p *pulled) TermWithReason(reason string) error { return p.m.Respond([]byte("+TERM " + reason)) }
