package sim

import (
	"net"
	"net/http"
	"strconv"
)

// writer is a reply in the making.
type writer struct {
	http.ResponseWriter
	h *Handler
	// head is the header map; keys set in it are canonical.
	head http.Header
}

func (h *Handler) writer(w http.ResponseWriter) writer {
	return writer{ResponseWriter: w, h: h, head: w.Header()}
}

func (w writer) set(key, value string) { w.head[key] = []string{value} }

func (w writer) json(status int, body []byte) {
	w.head["Content-Type"] = w.h.jsonType
	w.send(status, body)
}

func (w writer) send(status int, body []byte) {
	w.head["Server"] = w.h.sender
	w.set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that left is seen by its context; nothing can be done about it here.
	_, _ = w.Write(body) //nolint:gosec // what it echoes of a request is JSON, which no browser runs
}

func (w writer) flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// reset drops the connection without a reply, by TCP RST where there is a TCP connection to
// be had, else by the way net/http has for it.
func (w writer) reset() {
	conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	under := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	if t, ok := under.(*net.TCPConn); ok {
		// Without it the close is a FIN, which clients report as EOF.
		_ = t.SetLinger(0)
	}
	// The connection of TLS would say goodbye; the one below does not.
	_ = under.Close()
}
