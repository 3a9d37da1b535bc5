package policy

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// size is how many tokens a call uses, or is thought to.
type size struct {
	in, out float64
	raw     float64 // a quarter of the bytes, which in was made of
	capped  bool    // the request says how long the answer may be
}

// units are what a call of that size uses of each limit.
func (s size) units() [meters]float64 {
	return [meters]float64{perRequests: 1, perTokens: s.in + s.out, perInput: s.in, perOutput: s.out}
}

// tokens learns how many tokens requests use.
type tokens struct {
	perByte  float64 // of the prompt's tokens, on a quarter of the request's bytes
	out      float64 // of the answers
	in, outs float64 // what requests were thought to use lately
}

// usual is a call as they were lately.
func (t *tokens) usual() size { return size{in: t.in, out: t.outs} }

// estimate reads how long the answer may be, as providers count that from the start; where the
// request does not say, it is taken to be as long as the others were.
func (t *tokens) estimate(body []byte) size {
	s := size{raw: float64(len(body)) / 4, out: t.out}
	if n := outputMax(body); n > 0 {
		s.out, s.capped = float64(n), true
	}
	s.in = s.raw
	if t.perByte > 0 {
		s.in *= t.perByte
	}
	t.in, t.outs = moved(t.in, s.in), moved(t.outs, s.out)
	return s
}

func (t *tokens) learn(s size, a Answer) {
	if s.raw > 0 {
		t.perByte = moved(t.perByte, float64(a.InputTokens)/s.raw)
	}
	t.out = moved(t.out, float64(a.OutputTokens))
}

// moved is a moving average that begins with the first value.
func moved(average, value float64) float64 {
	if average == 0 {
		return value
	}
	return average + (value-average)/16
}

func outputMax(body []byte) (most int) {
	members(decoder(body), func(name string, d *jsontext.Decoder) bool {
		switch name {
		case `"max_tokens"`, `"max_completion_tokens"`, `"max_output_tokens"`:
			v, err := d.ReadValue()
			if n, bad := strconv.Atoi(string(v)); bad == nil {
				most = max(most, n)
			}
			return err == nil
		}
		return d.SkipValue() == nil
	})
	return most
}
