package sim

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bodyMax is more than any provider takes.
const bodyMax = 64 << 20

// Handler is the provider: one account at one endpoint. Use New.
type Handler struct {
	born time.Time
	plan atomic.Pointer[plan]
	door door
	told told
	jobs tallies
	// buffers hold the bodies read and written; a call has one of each.
	buffers sync.Pool
	// These values of headers are the same for all replies, which must not change them.
	jsonType, sseType, sender []string
}

// New makes a provider that behaves like c. It checks nothing: Parse does.
func New(c Config) *Handler {
	h := &Handler{
		born:     time.Now(),
		jsonType: []string{"application/json"},
		sseType:  []string{"text/event-stream"},
		sender:   []string{"nightshift-sim"},
	}
	h.buffers.New = func() any { return &buffer{} }
	h.plan.Store(newPlan(c, 0))
	return h
}

// now is the time since the handler was made.
func (h *Handler) now() time.Duration { return time.Since(h.born) }

// ServeHTTP answers, or does not, as the Config wants.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := h.now()
	if strings.HasPrefix(r.URL.Path, "/sim/") {
		h.admin(w, r)
		return
	}
	out := h.writer(w)
	kind := kindOf(r.URL.Path)
	switch {
	case kind == kindNone:
		invalid(404, "unknown_url", "Invalid URL ("+r.Method+" "+r.URL.Path+")").write(out, nil)
	case r.Method != kind.method():
		out.set("Allow", kind.method())
		invalid(405, "method_not_allowed", "Not allowed to "+r.Method+" on "+r.URL.Path+".").write(out, nil)
	case kind == kindModels:
		h.models(out, r, now)
	default:
		h.serve(out, r, kind, now)
	}
}

// serve takes one job from arrival to its end.
func (h *Handler) serve(w writer, r *http.Request, kind kind, now time.Duration) {
	in, out := h.borrow(), h.borrow()
	defer h.giveBack(in, out)
	if err := in.read(io.LimitReader(r.Body, bodyMax+1)); err != nil {
		return
	}
	c := &call{h: h, plan: h.plan.Load(), w: w, r: r, kind: kind, in: in.b, out: out}
	c.arrive(now)
	defer c.leave(failed, 0)
	if f := c.refusal(); f != nil {
		c.refuse(f)
		return
	}
	c.perform()
}

func (h *Handler) models(w writer, r *http.Request, now time.Duration) {
	p := h.plan.Load()
	f := p.stranger(r)
	if f == nil {
		f = p.shut(now)
	}
	if f != nil {
		f.write(w, nil)
		return
	}
	w.json(http.StatusOK, []byte(`{"object":"list","data":[{"id":"sim","object":"model","created":`+
		created+`,"owned_by":"nightshift"}]}`))
}

// buffer is bytes to be used again.
type buffer struct{ b []byte }

func (h *Handler) borrow() *buffer { return h.buffers.Get().(*buffer) }

// giveBack keeps ordinary buffers; a rare huge body should not stay in memory.
func (h *Handler) giveBack(all ...*buffer) {
	for _, b := range all {
		if cap(b.b) <= 1<<20 {
			b.b = b.b[:0]
			h.buffers.Put(b)
		}
	}
}

// read reads to the end, which is also what lets the server notice that a client left.
func (b *buffer) read(from io.Reader) error {
	for {
		if len(b.b) == cap(b.b) {
			b.b = slices.Grow(b.b, max(4096, len(b.b)))
		}
		n, err := from.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
