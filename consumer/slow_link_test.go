package consumer_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"nightshift/consumer"
)

// slowLink leads to the broker; what comes from there comes at so many bytes a second.
func (w *world) slowLink(t *testing.T, rate int) *nats.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, address, _ := strings.Cut(w.broker.URL(), "://")
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				_ = near.Close()
				return
			}
			go func() {
				_, _ = io.Copy(far, near)
				_ = far.Close()
			}()
			go func() {
				const parts = 50 // a second
				for err == nil {
					_, err = io.CopyN(near, far, int64(rate/parts))
					time.Sleep(time.Second / parts)
				}
				_ = near.Close()
			}()
		}
	}()
	nc, err := nats.Connect(strings.Replace(w.broker.URL(), address, l.Addr().String(), 1),
		nats.Token(w.broker.Conn().Opts.Token))
	check(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// A job that takes longer to come than a worker asks for is not lost on its way: it is called at
// its first delivery.
func TestLargeJobOverASlowLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	nc := w.slowLink(t, 1<<19)
	w.put(t, "b", line("j", strings.Repeat("x", 3<<19)))
	w.startOn(t, stream(t, nc), func(c *consumer.Config) { c.AckWait = time.Minute })
	if e := w.ending(t, "b", "j"); e.Dead || e.Meta.Again != 0 || w.calls("b", "j") != 1 {
		t.Errorf("ending %+v", e)
	}
}
