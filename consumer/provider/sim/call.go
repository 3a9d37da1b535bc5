package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// call is one request, from arrival to its end.
type call struct {
	h    *Handler
	plan *plan
	w    writer
	r    *http.Request
	kind kind
	in   []byte
	out  *buffer

	arrival arrival
	// key is of the job and the seed: what is random starts from it.
	key  uint64
	asks request
	// nth is which admitted call of the job this is.
	nth              int
	requests, tokens quota
	// inside says that it holds capacity, gone that it was counted.
	inside, gone bool
}

// outcome is what a call counts as.
type outcome uint8

const (
	answered outcome = iota + 1
	refused
	failed
)

// arrive counts the call by its job: the client's id of it, or else its body.
func (c *call) arrive(now time.Duration) {
	id := c.r.Header.Get("X-Client-Request-Id")
	if id == "" {
		id = string(appendHex([]byte("body-"), hash(0, c.in)))
	}
	job := hash(0, id)
	c.arrival = c.h.jobs.arrive(id, job, now)
	c.key = mix(job ^ mix(c.plan.Seed))
	c.h.door.arrive(c.arrival, c.arrival.early || c.h.told.early(now, c.plan.grace()))
	if !c.plan.HeadersOff {
		c.w.set("X-Request-Id", string(appendHex([]byte("req_"), draw(c.key, c.arrival.nth))))
	}
}

// leave counts what became of the call and gives its capacity back, once. It comes before
// the last byte is sent: who has the whole answer may call again at once.
func (c *call) leave(became outcome, tokens int) {
	if c.gone {
		return
	}
	c.gone = true
	if became == answered {
		c.arrival.answered()
	}
	c.h.door.leave(c.h.now(), became, c.inside, tokens)
}

// refusal is what keeps the call out, in the order of a provider: key, doors, account,
// syntax, limits. Without any, the call is inside.
func (c *call) refusal() *failure {
	if f := c.plan.stranger(c.r); f != nil {
		return f
	}
	now := c.h.now()
	if f := c.plan.shut(now); f != nil {
		return f
	}
	if len(c.in) > bodyMax {
		return invalid(http.StatusRequestEntityTooLarge, "request_too_large", "The body is too large.")
	}
	var ok bool
	if c.asks, ok = parseRequest(c.in); !ok {
		return invalid(http.StatusBadRequest, "", "We could not parse the JSON body of your request.")
	}
	need := c.asks.tokens() + cmp.Or(c.asks.outputMax, c.plan.words())
	var f *failure
	c.requests, c.tokens, f = c.h.door.enter(c.plan, now, need)
	if f == nil {
		c.inside = true
		c.nth = c.arrival.admit()
	}
	return f
}

// stranger is the refusal of a wrong key.
func (p *plan) stranger(r *http.Request) *failure {
	if p.Key == "" || r.Header.Get("Authorization") == "Bearer "+p.Key {
		return nil
	}
	f := named("invalid_api_key")
	return &f
}

// perform does what the scene wants with a call that is inside.
func (c *call) perform() {
	s := c.scene()
	c.sleep(s.latency)
	switch s.act {
	case actHang:
		c.sleep(c.plan.hang())
		panic(http.ErrAbortHandler)
	case actReset:
		c.leave(failed, 0)
		c.w.reset()
	case actFail:
		c.fail(&s.fail)
	case actHTML:
		c.other(http.StatusBadGateway, "text/html", "<html><head><title>502 Bad Gateway</title></head>"+
			"<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>\n")
	case actGarbage:
		c.other(http.StatusOK, "application/json", "upstream said: {\"choices\": [{")
	default:
		c.answer(s.act)
	}
}

// scene is what happens to this call: its script, else the lot of its job, else the dice.
// Latency is settled: what fails by the request's own fault fails at once.
func (c *call) scene() scene {
	dice := rand.New(rand.NewPCG(c.key, draw(0, c.nth))) //nolint:gosec // the same seed must throw the same
	draw := dice.Float64()
	s, scripted := playing(c.in, c.nth)
	if !scripted {
		s = c.lot(draw)
	}
	if f := c.overflow(); f != nil {
		s = scene{act: actFail, fail: *f}
	}
	if !s.paced && (s.act != actFail || s.fail.status >= 500 || s.fail.status < 400) {
		s.latency = c.plan.latency(dice)
	}
	return s
}

func (c *call) lot(draw float64) scene {
	switch job := unit(mix(c.key)); {
	case job < c.plan.Bad:
		return scene{act: actFail, fail: named("string_above_max_length")}
	case job < c.plan.Bad+c.plan.Missing:
		return scene{act: actFail, fail: named("model_not_found")}
	}
	for i, rate := range c.plan.rates() {
		if draw < rate {
			return scene{act: act(i), fail: plain(500)}
		}
		draw -= rate
	}
	return scene{act: actAnswer}
}

// latency draws one, never longer than a hang.
func (c *Config) latency(dice *rand.Rand) time.Duration {
	if c.Sigma == 0 || c.Latency == 0 {
		return c.Latency
	}
	d := float64(c.Latency) * math.Exp(c.Sigma*dice.NormFloat64())
	return time.Duration(min(d, float64(c.hang())))
}

// sleep ends the call when the client goes away. It panics for that, as net/http has it: a
// plain return would send an empty 200 if it was the server that gave up.
func (c *call) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}
