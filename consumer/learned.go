package consumer

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/policy"
)

// learnEvery is how often a worker writes down what its guards have learned.
const learnEvery = 10 * time.Second

// learn writes down what the guards learn of their providers, where it has changed, and once
// more when ctx ends. Of several workers the last one counts: they have learned the same.
func (c *Consumer) learn(ctx context.Context) {
	told := map[string]policy.Learned{}
	for ok := true; ok; {
		ok = sleep(ctx, learnEvery)
		for name, g := range c.guards {
			l, learned := g.Learned()
			was := told[name]
			if was.At = l.At; !learned || was == l {
				continue
			}
			if c.fleet.tell(learnedKey+name, l) == nil {
				told[name] = l
			}
		}
	}
}

// applyLearned keeps what earlier workers learned until the guards have their parts. What cannot
// be read is not needed.
func (f *fleet) applyLearned(e jetstream.KeyValueEntry) {
	var l policy.Learned
	name := strings.TrimPrefix(e.Key(), learnedKey)
	if f.guards[name] == nil || e.Operation() != jetstream.KeyValuePut || json.Unmarshal(e.Value(), &l) != nil {
		return
	}
	if f.learned == nil {
		f.learned = map[string]policy.Learned{}
	}
	f.learned[name] = l
}

// settle is called when all that stood in the bucket has come.
func (f *fleet) settle() {
	f.roster.settle(true)
	f.part()
	for name, l := range f.learned {
		f.guards[name].Recall(l)
	}
	f.learned = nil
	f.greet()
}
