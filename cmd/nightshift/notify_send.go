package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"nightshift/consumer"
	"nightshift/policy"
)

// The headers of a notification. The signature is the HMAC-SHA256, in hex, of the timestamp, a full
// stop and the body; the timestamp is in seconds since 1970.
const (
	headerSignature = "Nightshift-Signature"
	headerTimestamp = "Nightshift-Timestamp"
	headerEvent     = "Nightshift-Event"
)

// sign is the value of the signature header.
func sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// send starts the delivery of all notices that are due, and says how many are not over.
func (n *notifier) send(ctx context.Context) (left int, err error) {
	all, err := n.session.store.Notices(ctx)
	if err != nil {
		return 0, err
	}
	endpoints := n.told()
	for i := range all {
		one := &all[i]
		to := endpoints[one.To]
		if one.Over() || to == nil {
			continue
		}
		left++
		if time.Now().Before(one.Until) || to.guard.TryTake(1) == 0 {
			continue
		}
		one.Until = time.Now().Add(notifyLease)
		if err := n.session.store.PutNotice(ctx, one); err != nil {
			to.guard.Give(1)
			if errors.Is(err, consumer.ErrNoticeTaken) {
				continue
			}
			return left, err
		}
		n.sending.Go(func() { n.deliver(ctx, to, one) })
	}
	return left, nil
}

// deliver sends a notice that this worker has for itself, by a slot of the guard, and writes down
// what came of it.
func (n *notifier) deliver(ctx context.Context, to *endpoint, one *consumer.Notice) {
	r := to.guard.Do(ctx, one.Event, 1, func(ctx context.Context) policy.Reply { return to.post(ctx, one) })
	now, level := time.Now().UTC(), zerolog.InfoLevel
	switch {
	case r.Cancelled:
		one.Until, level = time.Time{}, zerolog.DebugLevel
	case r.Fault == nil:
		one.Delivered = now
	case now.Sub(one.At) > notifyFor:
		one.GivenUp, level = now, zerolog.ErrorLevel
	default:
		one.Tries++
		wait := max(r.Fault.RetryAfter, min(time.Second<<min(one.Tries-1, 9), notifyPause))
		one.Until, level = now.Add(policy.Jitter(wait)), zerolog.WarnLevel
	}
	log := n.log.WithLevel(level).Str("event", one.Event).Str("to", to.host).Int("tries", one.Tries)
	if r.Fault != nil {
		log = log.Str("class", string(r.Fault.Class)).Int("status", r.Fault.Status).AnErr("reason", r.Fault.Err)
	}
	switch {
	case !one.Delivered.IsZero():
		log.Msg("notification delivered")
	case !one.GivenUp.IsZero():
		log.Msg("notification given up")
	default:
		log.Time("again", one.Until).Msg("notification not delivered yet")
	}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWait)
	defer cancel()
	if err := n.session.store.PutNotice(write, one); err != nil {
		n.log.Warn().Err(err).Msg("the notification may be sent once more")
	}
}

// post makes one request. Its errors are without the address, which may hold a password.
func (e *endpoint) post(ctx context.Context, one *consumer.Notice) policy.Reply {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(one.Body))
	if err != nil {
		return policy.Reply{Err: errors.New("the url cannot be used")}
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "nightshift")
	req.Header.Set(headerEvent, one.Event)
	req.Header.Set(headerTimestamp, timestamp)
	req.Header.Set(headerSignature, sign(e.secret, timestamp, one.Body))
	res, err := e.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return policy.Reply{Err: err}
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // what it says is of no interest
	return policy.Reply{Status: res.StatusCode, Header: textproto.MIMEHeader(res.Header), Err: err}
}

// judgeNotice takes every 2xx for delivered. Whatever else is tried again: an endpoint that does not
// exist today may be deployed tomorrow.
func judgeNotice(r policy.Reply) *policy.Fault {
	if r.Status/100 == 2 {
		return nil
	}
	f := &policy.Fault{Class: policy.ServerError, Status: r.Status, Rule: "no 2xx", Err: r.Err, RetryAfter: policy.RetryAfter(r, time.Now())}
	if r.Status == http.StatusTooManyRequests {
		f.Class = policy.RateLimited
	}
	return f
}
