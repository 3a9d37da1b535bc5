package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// marker is what is between "[[sim:" and "]]", as far as it is read.
type marker struct {
	scene
	status    int
	code, typ string
	after     time.Duration
}

// parseScene reads 500x2, hangx1, insufficient_quota or status=400,code=some_code.
func parseScene(text string) (scene, error) {
	m := marker{scene: scene{act: actAnswer}}
	for part := range strings.SplitSeq(text, ",") {
		key, value, pair := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		if pair {
			err = m.set(key, value)
		} else {
			err = m.word(key)
		}
		if err != nil {
			return scene{}, err
		}
	}
	return m.resolve(), nil
}

// word reads an act, a status or the name of a fault, with or without a count.
func (m *marker) word(word string) error {
	if i := strings.LastIndexByte(word, 'x'); i > 0 {
		if n, err := strconv.Atoi(word[i+1:]); err == nil && n > 0 {
			word, m.times = word[:i], n
		}
	}
	if a, ok := actNamed(word); ok {
		m.act = a
		return nil
	}
	if slices.Contains(Faults(), word) {
		m.code = word
		return nil
	}
	return m.set("status", word)
}

func (m *marker) set(key, value string) (err error) {
	switch key {
	case "status":
		m.status, err = strconv.Atoi(value)
		if err != nil || m.status < 200 || m.status > 599 {
			return fmt.Errorf("unknown word %q", value)
		}
	case "code":
		m.code = value
	case "type":
		m.typ = value
	case "times":
		m.times, err = count(value)
	case "retry_after":
		var seconds float64
		seconds, err = number(value)
		m.after = time.Duration(min(seconds, 1e9) * float64(time.Second))
	case "latency":
		m.paced = true
		m.latency, err = duration(value)
	default:
		err = fmt.Errorf("unknown word %q", key)
	}
	return err
}

// resolve makes the failure, whose parts may have come in any order: the code brings its
// body, the status has the last word on the status.
func (m *marker) resolve() scene {
	switch {
	case m.code != "" && (m.status == 0 || slices.Contains(Faults(), m.code)):
		m.act, m.fail = actFail, named(m.code)
	case m.status != 0:
		m.act, m.fail = actFail, plain(m.status)
	default:
		return m.scene
	}
	if m.status != 0 {
		m.fail.status = m.status
	}
	if m.code != "" && m.fail.body == "" {
		m.fail.code = m.code
	}
	if m.typ != "" {
		m.fail.typ = m.typ
	}
	m.fail.after = m.after
	return m.scene
}
