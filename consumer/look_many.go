package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// gotMsg is a message as a stream holds it.
type gotMsg struct {
	sequence uint64
	header   nats.Header
	data     []byte
}

// getBatch is how many messages one request gives, within getBytes.
const (
	getBatch = 1000
	getBytes = 4 << 20
)

// getMany reads the messages of one subject of a stream by batched direct gets (ADR-31), which
// nats.go has no call for: a work queue lets nobody but its workers consume, and one get for each
// message takes a round trip for each.
func getMany(ctx context.Context, js jetstream.JetStream, stream, subject string) iter.Seq2[gotMsg, error] {
	return func(yield func(gotMsg, error) bool) {
		for from := uint64(1); ; {
			batch, err := getSome(ctx, js.Conn(), stream, subject, from)
			if err != nil {
				yield(gotMsg{}, err)
				return
			}
			for _, m := range batch {
				if !yield(m, nil) {
					return
				}
			}
			if len(batch) == 0 {
				return
			}
			from = batch[len(batch)-1].sequence + 1
		}
	}
}

func getSome(ctx context.Context, nc *nats.Conn, stream, subject string, from uint64) ([]gotMsg, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	ask, err := json.Marshal(map[string]any{"seq": from, "next_by_subj": subject, "batch": getBatch, "max_bytes": getBytes})
	if err != nil {
		return nil, err
	}
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, ask); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	var all []gotMsg
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404": // the end of the batch; nothing there
			return all, nil
		default:
			return nil, fmt.Errorf("status %s, %s", status, m.Header.Get("Description"))
		}
		seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a message without its sequence: %w", err)
		}
		all = append(all, gotMsg{sequence: seq, header: m.Header, data: m.Data})
	}
}
