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
	// prompts and raw are sums of the tokens that prompts had lately and of a quarter of their
	// requests' bytes: a ratio of sums, as a short prompt is half wrapping and says little of long.
	prompts, raw float64
	out          float64 // of the answers
	in, outs     float64 // what requests were thought to use lately
}

// Averages go by so many calls. Before the first of them, so many tokens of four bytes are supposed
// to have been seen: the scout's prompt may be a short one.
const seen, supposed = 16, 500

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
	if t.raw > 0 {
		s.in *= t.prompts / t.raw
	}
	t.in, t.outs = moved(t.in, s.in), moved(t.outs, s.out)
	return s
}

func (t *tokens) learn(s size, a Answer) {
	if t.raw == 0 {
		t.prompts, t.raw = supposed, supposed
	}
	t.prompts += float64(a.InputTokens) - t.prompts/seen
	t.raw += s.raw - t.raw/seen
	t.out = moved(t.out, float64(a.OutputTokens))
}

// moved is a moving average that begins with the first value.
func moved(average, value float64) float64 {
	if average == 0 {
		return value
	}
	return average + (value-average)/seen
}

func outputMax(body []byte) (most int) {
	members(decoder(body), func(name string, d *jsontext.Decoder) bool {
		if isOutputMax(name) {
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
