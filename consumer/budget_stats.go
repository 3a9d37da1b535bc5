package consumer

import (
	"sync"

	"nightshift/policy"
)

// Money is what the calls of a worker cost since it started, of models that have a price.
type Money struct {
	// Answers is what the answers cost, Unpriced how many of them nobody knows the cost of.
	Answers  policy.Money
	Unpriced int64
	// Wasted is what calls without an answer used: refused answers, those cut short, those that
	// another worker's were before. Unknown counts those that did not say how much: they stand in
	// Wasted with the most they can have used. Lost counts them where no price is known either.
	Wasted        policy.Spend
	Unknown, Lost int64
}

type money struct {
	mu  sync.Mutex
	sum Money
}

func (m *money) load() Money {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum
}

// paid counts an answer.
func (s *stats) paid(cost *policy.Money) {
	s.money.mu.Lock()
	defer s.money.mu.Unlock()
	if cost == nil {
		s.money.sum.Unpriced++
		return
	}
	s.money.sum.Answers += *cost
}

// waste counts a call without an answer.
func (s *stats) waste(used policy.Spend, known, priced bool) {
	s.money.mu.Lock()
	defer s.money.mu.Unlock()
	m := &s.money.sum
	m.Wasted = m.Wasted.Plus(used)
	if !known {
		m.Unknown++
	}
	if !priced {
		m.Lost++
	}
}
