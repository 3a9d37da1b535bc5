package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"nightshift/consumer"
	"nightshift/policy"
)

// accounts are the providers of a worker, each built once: what a provider tells one queue holds for
// the others.
type accounts struct {
	all   []consumer.Account
	stops []func()
}

func (s *accounts) stop() {
	for _, f := range s.stops {
		f()
	}
}

func (s *accounts) add(ctx context.Context, n named) error {
	for _, a := range s.all {
		if a.Name == n.name {
			return nil
		}
	}
	p, stop, err := n.build(ctx)
	if err != nil {
		return err
	}
	s.stops = append(s.stops, stop)
	s.all = append(s.all, n.account(p))
	return nil
}

// addQueue adds what a queue needs, and gives the queue.
func (a *app) addQueue(ctx context.Context, s *accounts, name string) (consumer.Queue, error) {
	own, err := a.pickProvider(name)
	if err == nil {
		err = s.add(ctx, own)
	}
	if err != nil {
		return consumer.Queue{}, err
	}
	c := a.queueConfig(name)
	q := consumer.Queue{
		Name: name, Account: own.name, Attempts: firstOf(a.flags.attempts, c.Attempts),
		SlidingWindow: c.ContextOverflow == overflowSlide, OnTruncated: c.OnTruncated,
		Budget: a.config.Queues[name].Budget.spend(), MaxTokens: c.MaxTokens, MaxTokensCeiling: c.MaxTokensCeiling,
	}
	if err := c.Nights.apply(&q); err != nil {
		return q, err
	}
	if a.flags.provider != "" || a.flags.baseURL != "" { // that says where the jobs go, and nowhere else
		return q, nil
	}
	for _, f := range c.Fallback {
		on := c.reasons(f)
		if len(on) == 0 {
			continue
		}
		n, err := a.fallbackProvider(f)
		if err == nil {
			err = s.add(ctx, n)
		}
		if err != nil {
			return q, err
		}
		use := policy.Fallback{On: on, After: f.After}
		q.Fallbacks = append(q.Fallbacks, consumer.Fallback{Account: n.name, Fallback: use})
	}
	return q, nil
}

// fallbackProvider is a provider as it is configured, with the model of the fallback. As policies are
// for a provider and a model, another model makes it an account of its own.
func (a *app) fallbackProvider(f fallbackConfig) (named, error) {
	p, ok := a.config.Providers[f.Provider]
	if !ok { // the simulated one needs no configuration
		p.Kind = simName
	}
	n := named{name: f.Provider, providerConfig: p}
	if f.Model != "" && f.Model != p.Model {
		n.name, n.Model = accountName(f.Provider, f.Model), f.Model
	}
	n.Prices = a.config.pricesOf(n.providerConfig)
	if err := a.settleKind(&n); err != nil {
		return n, err
	}
	var err error
	n.table, err = newTable(n.Rules, a.config.Rules)
	return n, err
}

// accountName is a provider and its model in a form that names keys of the broker. What a key cannot
// hold is replaced, and told apart by a hash.
func accountName(provider, model string) string {
	plain := strings.Map(func(r rune) rune {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if letter || strings.ContainsRune("_-=", r) || r == '.' {
			return r
		}
		return '_'
	}, model)
	plain = strings.ReplaceAll(plain, "..", "._")
	if plain != model || strings.HasSuffix(plain, ".") || strings.HasPrefix(plain, ".") {
		sum := sha256.Sum256([]byte(model))
		plain = strings.Trim(plain, ".") + "-" + hex.EncodeToString(sum[:4])
	}
	return provider + "/" + plain
}
