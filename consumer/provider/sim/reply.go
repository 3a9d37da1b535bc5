package sim

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// headers are those that every reply to a job has.
func (c *call) headers() {
	if c.plan.HeadersOff {
		return
	}
	c.requests.write(c.w, "Requests")
	c.tokens.write(c.w, "Tokens")
}

// refuse sends away a call that did not get in.
func (c *call) refuse(f *failure) {
	if f.atDoor {
		c.leave(refused, 0)
	}
	c.fail(f)
}

// fail sends a failure; one with status 200 hides in the body, or in a stream. A Retry-After
// on an answer that means "too much" is remembered.
func (c *call) fail(f *failure) {
	c.leave(failed, 0)
	c.headers()
	if f.after > 0 && slices.Contains([]int{429, 503, 529}, f.status) {
		now := c.h.now()
		until := now + time.Duration(f.seconds())*time.Second
		c.arrival.told(until)
		c.h.told.tell(now, until)
	}
	if f.status == http.StatusOK && c.asks.stream {
		c.w.head["Content-Type"] = c.w.h.sseType
		c.write(append(append([]byte("data: "), f.text(c.asks.model)...), "\n\n"...))
		return
	}
	f.write(c.w, c.asks.model)
}

// other sends what no provider would.
func (c *call) other(status int, kind, body string) {
	c.leave(failed, 0)
	c.w.set("Content-Type", kind)
	c.w.send(status, []byte(body))
}

// answer sends the answer whole, in chunks, slowly or by half.
func (c *call) answer(a act) {
	t := c.text(a)
	c.headers()
	if c.asks.stream && c.kind.streams() {
		c.stream(a, t)
		return
	}
	c.out.b = c.render(c.out.b, t)
	switch a {
	case actHalf:
		c.half(c.out.b)
	case actSlow:
		c.slow(t, c.out.b)
	default:
		c.leave(answered, t.total())
		c.w.json(http.StatusOK, c.out.b)
	}
}

// half promises a whole body, sends half of it and hangs up.
func (c *call) half(body []byte) {
	c.w.head["Content-Type"] = c.w.h.jsonType
	c.w.set("Content-Length", strconv.Itoa(len(body)))
	c.write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

// slow sends the body in ten pieces.
func (c *call) slow(t text, body []byte) {
	const pieces = 10
	c.w.head["Content-Type"] = c.w.h.jsonType
	c.w.set("Content-Length", strconv.Itoa(len(body)))
	for i := range pieces {
		c.sleep(c.plan.trickle() / pieces)
		if i == pieces-1 {
			c.leave(answered, t.total())
		}
		c.write(body[len(body)*i/pieces : len(body)*(i+1)/pieces])
	}
}

// write sends a piece now. A client that left is noticed by the next sleep.
func (c *call) write(piece []byte) {
	_, _ = c.w.Write(piece)
	c.w.flush()
}

// stream sends the answer word by word, as server-sent events.
func (c *call) stream(a act, t text) {
	pause := c.plan.Chunk
	if a == actSlow {
		pause = c.plan.trickle() / time.Duration(t.words+1)
	}
	c.w.head["Content-Type"] = c.w.h.sseType
	c.write(c.chunk(t, 0, ""))
	for i := range t.words {
		c.sleep(pause)
		if a == actHalf && i == t.words/2 {
			panic(http.ErrAbortHandler)
		}
		c.write(c.chunk(t, i+1, ""))
	}
	c.sleep(pause)
	c.leave(answered, t.total())
	last := slices.Clone(c.chunk(t, t.words+1, t.reason))
	if c.asks.usage {
		last = append(last, c.usageChunk(t)...)
	}
	c.write(append(last, "data: [DONE]\n\n"...))
}
