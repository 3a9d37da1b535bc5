package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// gotMsg is a message as a stream holds it.
type gotMsg struct {
	sequence uint64
	at       time.Time
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
	all, _, err := directGet(ctx, nc, stream, map[string]any{
		"seq": from, "next_by_subj": subject, "batch": getBatch, "max_bytes": getBytes,
	})
	return all, err
}

// getLast reads the last message of each subject, at most getBatch of them; a subject without one
// is not in the map.
func getLast(ctx context.Context, nc *nats.Conn, stream string, subjects []string) (map[string]gotMsg, error) {
	found := make(map[string]gotMsg, len(subjects))
	for from, more := uint64(1), true; more; {
		ask := map[string]any{"multi_last": subjects, "seq": from, "max_bytes": getBytes}
		batch, pending, err := directGet(ctx, nc, stream, ask)
		if err != nil {
			return nil, err
		}
		for _, m := range batch {
			found[m.header.Get(jetstream.SubjectHeader)] = m
			from = m.sequence + 1
		}
		more = pending && len(batch) > 0
	}
	return found, nil
}

// directGet asks for several messages and says whether there are more.
func directGet(
	ctx context.Context, nc *nats.Conn, stream string, what map[string]any,
) (all []gotMsg, more bool, err error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	ask, err := json.Marshal(what)
	if err != nil {
		return nil, false, err
	}
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, ask); err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204": // the end of the batch
			return all, m.Header.Get("Nats-Num-Pending") != "0", nil
		case "404": // nothing there
			return all, false, nil
		default:
			return nil, false, fmt.Errorf("status %s, %s", status, m.Header.Get("Description"))
		}
		got, err := gotOf(m)
		if err != nil {
			return nil, false, err
		}
		all = append(all, got)
	}
}

func gotOf(m *nats.Msg) (gotMsg, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return gotMsg{}, fmt.Errorf("a message without its sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return gotMsg{}, fmt.Errorf("a message without its time: %w", err)
	}
	return gotMsg{sequence: seq, at: at, header: m.Header, data: m.Data}, nil
}
