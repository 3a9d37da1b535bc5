package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Parse reads a spec such as "latency=400ms,capacity=64,rpm=600,errors=0.05". The empty
// spec is the zero Config. An unknown key is an error that lists the valid ones.
func Parse(spec string) (Config, error) {
	c := new(Config)
	given := map[string]bool{}
	for part := range strings.SplitSeq(spec, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if key == "" && value == "" {
			continue
		}
		if given[key] {
			return Config{}, fmt.Errorf("sim spec: %s is given twice", key)
		}
		given[key] = true
		if err := c.set(key, value); err != nil {
			return Config{}, fmt.Errorf("sim spec: %w", err)
		}
	}
	if err := c.validate(); err != nil {
		return Config{}, fmt.Errorf("sim spec: %w", err)
	}
	return *c, nil
}

// String gives the spec that Parse reads back: the fields which are not zero.
func (c Config) String() string {
	var parts []string
	for _, f := range c.fields() {
		if s := format(f.value); s != "" {
			parts = append(parts, f.key+"="+s)
		}
	}
	return strings.Join(parts, ",")
}

// Keys lists what a spec may hold.
func Keys() []string {
	var keys []string
	for _, f := range new(Config).fields() {
		keys = append(keys, f.key)
	}
	return keys
}

// field joins a key with the place of its value in a Config.
type field struct {
	key   string
	value any
}

func (c *Config) fields() []field {
	return []field{
		{"latency", &c.Latency},
		{"sigma", &c.Sigma},
		{"seed", &c.Seed},
		{"words", &c.Words},
		{"context", &c.Contexts},
		{"chunk", &c.Chunk},
		{"capacity", &c.Capacity},
		{"steps", &c.Steps},
		{"overload", &c.Overload},
		{"rpm", &c.RPM},
		{"tpm", &c.TPM},
		{"burst", &c.Burst},
		{"burst_tokens", &c.BurstTokens},
		{"headers", &c.HeadersOff},
		{"outage", &c.Outage},
		{"outage_status", &c.OutageStatus},
		{"closed", &c.Closed},
		{"grace", &c.Grace},
		{"errors", &c.Errors},
		{"hangs", &c.Hangs},
		{"resets", &c.Resets},
		{"half", &c.Half},
		{"html", &c.HTML},
		{"slow", &c.Slow},
		{"garbage", &c.Garbage},
		{"hang", &c.Hang},
		{"trickle", &c.Trickle},
		{"fault", &c.Fault},
		{"until", &c.Until},
		{"key", &c.Key},
		{"bad", &c.Bad},
		{"missing", &c.Missing},
	}
}

func (c *Config) set(key, value string) error {
	for _, f := range c.fields() {
		if f.key != key {
			continue
		}
		if err := parse(value, f.value); err != nil {
			return fmt.Errorf("%s=%s: %w", key, value, err)
		}
		return nil
	}
	return fmt.Errorf("unknown key %q; valid keys: %s", key, strings.Join(Keys(), ", "))
}

func parse(s string, to any) (err error) {
	if s == "" {
		return errors.New("value missing")
	}
	switch v := to.(type) {
	case *time.Duration:
		*v, err = duration(s)
	case *float64:
		*v, err = number(s)
	case *int:
		*v, err = count(s)
	case *uint64:
		*v, err = strconv.ParseUint(s, 10, 64)
	case *string:
		*v = s
	case *bool:
		*v, err = off(s)
	case *[]Step:
		*v, err = steps(s)
	case *[]Context:
		*v, err = contexts(s)
	case *Window:
		*v, err = window(s)
	}
	return err
}

func format(from any) string {
	switch v := from.(type) {
	case *time.Duration:
		return unless(*v == 0, v.String())
	case *float64:
		return unless(*v == 0, strconv.FormatFloat(*v, 'g', -1, 64))
	case *int:
		return unless(*v == 0, strconv.Itoa(*v))
	case *uint64:
		return unless(*v == 0, strconv.FormatUint(*v, 10))
	case *string:
		return *v
	case *bool:
		return unless(!*v, "off")
	case *Window:
		return unless(*v == Window{}, v.From.String()+"-"+v.To.String())
	case *[]Context:
		return formatContexts(*v)
	case *[]Step:
		var all []string
		for _, s := range *v {
			all = append(all, strconv.Itoa(s.Capacity)+"@"+s.At.String())
		}
		return strings.Join(all, "/")
	default:
		return ""
	}
}

func unless(zero bool, s string) string {
	if zero {
		return ""
	}
	return s
}
