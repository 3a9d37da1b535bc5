package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

// queueConfig is what a queue's jobs go to, and what becomes of those that are not simply answered.
type queueConfig struct {
	Provider string `yaml:"provider"`
	Attempts int    `yaml:"attempts"`
	// Fallback lists where jobs go that Provider fails, in order.
	Fallback []fallbackConfig `yaml:"fallback"`
	// ContextOverflow is dead, fallback or sliding_window. Default: fallback where there is one for
	// it, else dead.
	ContextOverflow string `yaml:"context_overflow"`
	// OnTruncated is accept, dead or retry_with_more. Default accept.
	OnTruncated consumer.OnTruncated `yaml:"on_truncated"`
	// Budget limits what the queue's jobs may use, all that ever were.
	Budget budgetConfig `yaml:"budget"`
	// MaxTokens goes into requests without a limit of their own; what asks for more than
	// MaxTokensCeiling is dead, and on_truncated asks for no more.
	MaxTokens        int `yaml:"max_tokens"`
	MaxTokensCeiling int `yaml:"max_tokens_ceiling"`

	Nights nightsConfig `yaml:",inline"`
}

// fallbackConfig is another provider, or the same with another model, and for what it is used.
type fallbackConfig struct {
	Provider string          `yaml:"provider"`
	Model    string          `yaml:"model"`
	On       []policy.Reason `yaml:"on"`
	After    time.Duration   `yaml:"after"`
}

// The ways of a queue with a prompt that is too long for the model.
const (
	overflowDead     = "dead"
	overflowFallback = "fallback"
	overflowSlide    = "sliding_window"
)

// queueConfig are the settings of a queue: its own, or those of the default queue where the
// configuration does not name it, as for the queue of a single run.
func (a *app) queueConfig(queue string) queueConfig {
	if q, ok := a.config.Queues[queue]; ok {
		return q
	}
	return a.config.Queues[defaultQueue]
}

// checkQueues finds what is wrong with the queues of the file at path.
func (c *config) checkQueues(path string) error {
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		if !producer.ValidName(name) {
			return fmt.Errorf("%s: queue name %q: use 1 to 64 of A-Z a-z 0-9 _ -", path, name)
		}
		if err := c.checkQueue(c.Queues[name]); err != nil {
			return wrapHint(fmt.Errorf("%s: queue %s: %w", path, name, err), err)
		}
	}
	return nil
}

// wrapHint keeps the hint of an error that was put into a longer one.
func wrapHint(longer, err error) error {
	if h, ok := errors.AsType[*hinted](err); ok {
		return hint(longer, "%s", h.hint)
	}
	return longer
}

func (c *config) checkQueue(q queueConfig) error {
	switch {
	case !c.knows(q.Provider) && q.Provider != "":
		return fmt.Errorf("no provider %q", q.Provider)
	case q.Attempts < 0:
		return errors.New("attempts is negative")
	}
	switch q.OnTruncated {
	case "", consumer.Accept, consumer.DeadLetterTruncated, consumer.RetryWithMore:
	default:
		return hint(fmt.Errorf("on_truncated: %q", string(q.OnTruncated)), "use accept, dead or retry_with_more")
	}
	for i, f := range q.Fallback {
		if err := c.checkFallback(q, f); err != nil {
			return wrapHint(fmt.Errorf("fallback %d: %w", i+1, err), err)
		}
	}
	return errors.Join(q.Nights.check(), q.checkOverflow())
}

func (c *config) knows(provider string) bool {
	_, known := c.Providers[provider]
	return known || provider == simName
}

func (c *config) checkFallback(q queueConfig, f fallbackConfig) error {
	own := firstOf(q.Provider, c.Queues[defaultQueue].Provider)
	if own == "" && len(c.Providers) == 1 {
		own = slices.Sorted(maps.Keys(c.Providers))[0]
	}
	if err := (policy.Fallback{On: f.On, After: f.After}).Validate(); err != nil {
		var all []string
		for _, r := range policy.Reasons() {
			all = append(all, string(r))
		}
		return hint(err, "on may hold %s; after is a duration such as 2m", strings.Join(all, ", "))
	}
	switch {
	case f.Provider == "":
		return hint(errors.New("provider is missing"), "name one of the configured providers")
	case !c.knows(f.Provider):
		return hint(fmt.Errorf("no provider %q", f.Provider), "name one of the configured providers")
	case f.Provider == own && (f.Model == "" || f.Model == c.Providers[own].Model):
		return hint(fmt.Errorf("%s is what the queue calls already", f.Provider), "name another provider, or a model")
	case f.After != 0 && !(policy.Fallback{On: f.On}).For(policy.ForRate):
		return hint(errors.New("after is for rate_limited only"), "add rate_limited to on, or leave after out")
	}
	return nil
}

// checkOverflow finds settings that contradict each other about prompts that are too long.
func (q queueConfig) checkOverflow() error {
	named, served := false, false
	for _, f := range q.Fallback {
		named = named || slices.Contains(f.On, policy.ForOverflow)
		served = served || (policy.Fallback{On: f.On}).For(policy.ForOverflow)
	}
	switch q.ContextOverflow {
	case "":
	case overflowFallback:
		if !served {
			return hint(errors.New("context_overflow: fallback, and none is for it"),
				"list a fallback with on: [context_overflow]")
		}
	case overflowDead, overflowSlide:
		if named {
			return hint(fmt.Errorf("context_overflow: %s, and a fallback is for it too", q.ContextOverflow),
				"keep one of the two")
		}
	default:
		return hint(fmt.Errorf("context_overflow: %q", q.ContextOverflow), "use dead, fallback or sliding_window")
	}
	return nil
}

// reasons are what a fallback is used for in the end: the queue's own way with prompts that are
// too long goes over the default of on.
func (q queueConfig) reasons(f fallbackConfig) (all []policy.Reason) {
	other := q.ContextOverflow == overflowDead || q.ContextOverflow == overflowSlide
	for _, r := range policy.Reasons() {
		if other && r == policy.ForOverflow {
			continue
		}
		if (policy.Fallback{On: f.On}).For(r) {
			all = append(all, r)
		}
	}
	return all
}
