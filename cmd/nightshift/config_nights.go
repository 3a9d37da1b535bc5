package main

import (
	"errors"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
)

// nightsConfig says when a queue's jobs are pulled, and who goes first.
type nightsConfig struct {
	// Window is the part of the day in which jobs are pulled, such as 22:00-06:00 Europe/Berlin.
	Window string `yaml:"window"`
	// Within is how long a job has from its submission. Default no limit.
	Within time.Duration `yaml:"within"`
	// Priority orders the queues of a provider: while one has jobs, those of lower priority rest.
	Priority int `yaml:"priority"`
	// Weight is the queue's share among those of the same priority. Default 1.
	Weight int `yaml:"weight"`
}

func (n nightsConfig) check() error {
	switch {
	case n.Weight < 0:
		return errors.New("weight is negative")
	case n.Within < 0:
		return errors.New("within is negative")
	case n.Window == "":
		return nil
	}
	_, err := policy.ParseHours(n.Window)
	return err
}

// apply puts the settings into a queue; they were checked when the file was read.
func (n nightsConfig) apply(q *consumer.Queue) error {
	q.Within, q.Priority, q.Weight = n.Within, n.Priority, n.Weight
	if n.Window == "" {
		return nil
	}
	var err error
	q.Hours, err = policy.ParseHours(n.Window)
	return err
}
