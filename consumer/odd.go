package consumer

import (
	"sync"

	"nightshift/policy"
)

// maxOdd bounds the replies that are remembered, as some servers make up a code for each.
const maxOdd = 100

// odd are the replies whose code or type the table of faults does not know.
type odd struct {
	mu   sync.Mutex
	seen map[oddReply]bool
}

// oddReply is what may be told of one: no text of it.
type oddReply struct {
	provider   string
	status     int
	code, kind string
}

// first says whether it has not been seen before, and is still to be told.
func (o *odd) first(r oddReply) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[r] || len(o.seen) >= maxOdd {
		return false
	}
	if o.seen == nil {
		o.seen = map[oddReply]bool{}
	}
	o.seen[r] = true
	return true
}

// noteOdd logs once what the table lacks, so that a rule can be written for it.
func (c *Consumer) noteOdd(d *delivery, f *policy.Fault) {
	r := oddReply{provider: d.queue.Account, status: f.Status, code: f.Code, kind: f.Type}
	if !f.Unknown() || !c.odd.first(r) {
		return
	}
	c.c.Log.Info().Str("provider", r.provider).Int("status", r.status).Str("code", r.code).Str("type", r.kind).
		Str("rule", f.Rule).Str("class", string(f.Class)).Msg("reply not in the table")
}
