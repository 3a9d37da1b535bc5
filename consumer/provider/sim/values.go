package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New("want a duration such as 400ms or 1m30s")
	}
	return d, nil
}

func number(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("want a number, 0 or more")
	}
	return f, nil
}

func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, errors.New("want a whole number, 0 or more")
	}
	return n, nil
}

func off(s string) (bool, error) {
	if s != "on" && s != "off" {
		return false, errors.New("want on or off")
	}
	return s == "off", nil
}

// window reads FROM-TO; no duration of ours holds a minus sign.
func window(s string) (Window, error) {
	from, to, _ := strings.Cut(s, "-")
	f, err1 := duration(from)
	t, err2 := duration(to)
	if err1 != nil || err2 != nil || t <= f {
		return Window{}, errors.New("want FROM-TO such as 5s-15s")
	}
	return Window{f, t}, nil
}

func steps(s string) ([]Step, error) {
	var all []Step
	for part := range strings.SplitSeq(s, "/") {
		n, at, _ := strings.Cut(part, "@")
		c, err1 := count(n)
		d, err2 := duration(at)
		late := len(all) == 0 || d > all[len(all)-1].At
		if err1 != nil || err2 != nil || !late {
			return nil, errors.New("want CAPACITY@TIME steps in order, such as 64@0s/16@20s")
		}
		all = append(all, Step{c, d})
	}
	return all, nil
}

// validate looks at what no single value shows.
func (c *Config) validate() error {
	var sum float64
	for _, r := range c.rates() {
		sum += r
	}
	const rounding = 1e-9
	switch {
	case sum > 1+rounding:
		return fmt.Errorf("errors, hangs, resets, half, html, slow and garbage add up to %g, more than 1", sum)
	case c.Bad+c.Missing > 1+rounding:
		return fmt.Errorf("bad and missing add up to %g, more than 1", c.Bad+c.Missing)
	case c.Overload != 0 && !slices.Contains([]int{429, 503, 529}, c.Overload):
		return fmt.Errorf("overload=%d: want 429, 503 or 529", c.Overload)
	case c.OutageStatus != 0 && (c.OutageStatus < 400 || c.OutageStatus > 599):
		return fmt.Errorf("outage_status=%d: want 400 to 599", c.OutageStatus)
	case c.Fault != "" && !slices.Contains(Faults(), c.Fault):
		return fmt.Errorf("fault=%s: want one of %s", c.Fault, strings.Join(Faults(), ", "))
	}
	return nil
}
