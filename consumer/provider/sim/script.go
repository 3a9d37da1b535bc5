package sim

import (
	"bytes"
	"time"
)

// act is what a call gets.
type act uint8

// The acts up to rated are those with a rate, in the order of Config.rates.
const (
	actFail act = iota
	actHang
	actReset
	actHalf
	actHTML
	actSlow
	actGarbage
	rated
	actAnswer
	actFiltered
	actLength
)

func actNamed(name string) (act, bool) {
	switch name {
	case "ok":
		return actAnswer, true
	case "filtered":
		return actFiltered, true
	case "length":
		return actLength, true
	case "hang":
		return actHang, true
	case "reset":
		return actReset, true
	case "half":
		return actHalf, true
	case "html":
		return actHTML, true
	case "slow":
		return actSlow, true
	case "garbage":
		return actGarbage, true
	default:
		return 0, false
	}
}

// scene is one marker: what happens to so many calls of a job, 0 meaning all from there on.
type scene struct {
	act     act
	fail    failure
	times   int
	latency time.Duration
	// paced says that latency was given.
	paced bool
}

// playing finds the scene of the nth admitted call of a job: the markers of its prompt
// follow each other. After the last, or without any, there is none.
func playing(body []byte, nth int) (s scene, ok bool) {
	const open, shut = "[[sim:", "]]"
	for {
		i := bytes.Index(body, []byte(open))
		if i < 0 {
			return scene{}, false
		}
		body = body[i+len(open):]
		i = bytes.Index(body, []byte(shut))
		if i < 0 {
			return scene{}, false
		}
		s, err := parseScene(string(body[:i]))
		if err != nil {
			// A script with a mistake must not pass for an answer.
			return scene{fail: *invalid(400, "sim_script", "Bad sim marker: "+err.Error()+".")}, true
		}
		if s.times == 0 || nth <= s.times {
			return s, true
		}
		nth -= s.times
		body = body[i:]
	}
}
