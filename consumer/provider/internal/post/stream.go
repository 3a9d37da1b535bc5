package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"nightshift/consumer/provider/internal/sse"
)

// Stream puts the events of one reply together. It is used once, by one goroutine.
type Stream interface {
	// Add takes one event and says whether it was the last. Its errors hold nothing of the
	// event.
	Add(e sse.Event) (done bool, err error)
	// Whole says whether a stream that ends here, without its last event, is whole yet.
	Whole() bool
	// Body is the reply as it would have come without streaming; after an event that is an
	// error, that error.
	Body() ([]byte, error)
}

func isStream(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// follow reads a stream to its end.
func (c *Client) follow(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader, s Stream) ([]byte, error) {
	watch := &watched{r: body, idle: c.c.Idle, left: c.c.MaxReply, cancel: cancel}
	defer watch.stop()
	events, n := sse.NewReader(watch), 0
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			if s.Whole() {
				return s.Body()
			}
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("stream broke off after %d chunks: %w", n, because(ctx, err))
		}
		done, err := s.Add(e)
		if err != nil {
			return nil, fmt.Errorf("stream broke off after %d chunks: %w", n, err)
		}
		if n++; done {
			watch.drain()
			return s.Body()
		}
	}
}

// because gives the silence that ended a stream and not the reader's word for it.
func because(ctx context.Context, err error) error {
	if silence, ok := errors.AsType[*silenceError](context.Cause(ctx)); ok {
		return silence
	}
	return err
}

// silenceError is a timeout, as net.Error has it.
type silenceError struct{ idle time.Duration }

func (e *silenceError) Error() string { return fmt.Sprintf("silent for %v", e.idle) }

// Timeout says that it is one.
func (e *silenceError) Timeout() bool { return true }

// Temporary makes it a net.Error.
func (e *silenceError) Temporary() bool { return true }

// watched is a stream's body under its idle timeout and its bound. The timeout begins with the
// first byte: until then the model may be thinking, which the whole call's timeout bounds.
type watched struct {
	r      io.Reader
	idle   time.Duration
	left   int64
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, errors.New("the reply is too long")
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	switch {
	case n == 0:
	case w.timer == nil:
		w.timer = time.AfterFunc(w.idle, func() { w.cancel(&silenceError{w.idle}) })
	default:
		w.timer.Reset(w.idle)
	}
	return n, err
}

func (w *watched) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// The most that is read behind a stream's last event, and for how long, so that its connection
// can serve another call.
const (
	drainBytes = 4 << 10
	drainTime  = 250 * time.Millisecond
)

func (w *watched) drain() {
	w.stop()
	timer := time.AfterFunc(drainTime, func() { w.cancel(nil) })
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, io.LimitReader(w.r, drainBytes))
}
