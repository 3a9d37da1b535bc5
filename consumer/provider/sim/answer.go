package sim

import "strconv"

// created is a constant, so that an answer is always the same bytes.
const created = "1700000000"

// lexicon holds 32 words of five letters and a space each.
const lexicon = "amber birch cedar delta ember fjord grove haven inlet jewel knoll " +
	"lemon maple north ocean pearl quiet river stone tulip umbra vivid " +
	"water xenon yacht zebra acorn berry cliff drift eagle flint "

// text is an answer before it is written: words drawn from the prompt's hash.
type text struct {
	hash                  uint64
	words, prompt, output int
	reason                string
}

func (c *call) text(a act) text {
	t := text{hash: hash(0, c.asks.prompt), words: c.plan.words(), prompt: c.asks.tokens(), reason: "stop"}
	switch a {
	case actLength:
		t.words, t.reason = (t.words+1)/2, "length"
	case actFiltered:
		t.words, t.reason = 0, "content_filter"
	default: // a whole answer
	}
	if most := c.asks.outputMax; most > 0 && t.words > most {
		t.words, t.reason = most, "length"
	}
	if c.kind != kindEmbedding && c.kind != kindModeration {
		t.output = t.words
	}
	return t
}

func (t text) total() int { return t.prompt + t.output }

// word is the ith word; they are drawn without state, so that a stream is the same text.
func (t text) word(i int) string {
	at := draw(t.hash, i) % 32 * 6
	return lexicon[at : at+5]
}

func (t text) appendTo(b []byte) []byte {
	for i := range t.words {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, t.word(i)...)
	}
	return b
}

// render writes the JSON of the whole answer.
func (c *call) render(b []byte, t text) []byte {
	switch c.kind {
	case kindCompletion:
		b = c.opening(b, "cmpl-", "text_completion")
		b = append(b, `,"choices":[{"text":"`...)
		b = t.appendTo(b)
		b = append(b, `","index":0,"logprobs":null,"finish_reason":"`...)
		b = append(b, t.reason...)
		b = append(b, `"}],"usage":`...)
		b = t.usage(b, "prompt_tokens", "completion_tokens")
	case kindEmbedding:
		b = c.embeddings(b, t)
	case kindResponse:
		b = c.response(b, t)
	case kindModeration:
		b = c.moderation(b, t)
	default:
		b = c.opening(b, "chatcmpl-", "chat.completion")
		b = append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":"`...)
		b = t.appendTo(b)
		b = append(b, `","refusal":null},"logprobs":null,"finish_reason":"`...)
		b = append(b, t.reason...)
		b = append(b, `"}],"usage":`...)
		b = t.usage(b, "prompt_tokens", "completion_tokens")
	}
	return append(b, '}')
}

// opening writes the members that answers begin with.
func (c *call) opening(b []byte, prefix, object string) []byte {
	b = c.identity(b, prefix)
	b = append(b, `","object":"`...)
	b = append(b, object...)
	b = append(b, `","created":`+created+`,"model":`...)
	return append(b, c.asks.model...)
}

func (c *call) identity(b []byte, prefix string) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, prefix...)
	return appendHex(b, c.key)
}

func (t text) usage(b []byte, in, out string) []byte {
	b = append(b, `{"`...)
	b = append(b, in...)
	b = append(b, `":`...)
	b = strconv.AppendInt(b, int64(t.prompt), 10)
	if out != "" {
		b = append(b, `,"`...)
		b = append(b, out...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, int64(t.output), 10)
	}
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, int64(t.total()), 10)
	return append(b, '}')
}

// embeddings are eight numbers for each input.
func (c *call) embeddings(b []byte, t text) []byte {
	b = append(b, `{"object":"list","data":[`...)
	for i := range max(c.asks.inputs, 1) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"object":"embedding","index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"embedding":[`...)
		for j := range 8 {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, 2*unit(draw(t.hash, 8*i+j))-1, 'f', 6, 64)
		}
		b = append(b, `]}`...)
	}
	b = append(b, `],"model":`...)
	b = append(b, c.asks.model...)
	b = append(b, `,"usage":`...)
	return t.usage(b, "prompt_tokens", "")
}

func (c *call) response(b []byte, t text) []byte {
	status, details := "completed", "null"
	switch t.reason {
	case "length":
		status, details = "incomplete", `{"reason":"max_output_tokens"}`
	case "content_filter":
		status, details = "incomplete", `{"reason":"content_filter"}`
	}
	b = c.identity(b, "resp_")
	b = append(b, `","object":"response","created_at":`+created+`,"status":"`...)
	b = append(b, status...)
	b = append(b, `","error":null,"incomplete_details":`...)
	b = append(b, details...)
	b = append(b, `,"model":`...)
	b = append(b, c.asks.model...)
	b = append(b, `,"output":[{"type":"message","id":"msg_1","status":"`...)
	b = append(b, status...)
	b = append(b, `","role":"assistant","content":[{"type":"output_text","text":"`...)
	b = t.appendTo(b)
	b = append(b, `","annotations":[]}]}],"usage":`...)
	return t.usage(b, "input_tokens", "output_tokens")
}

// moderation flags what a script wants filtered.
func (c *call) moderation(b []byte, t text) []byte {
	b = c.identity(b, "modr-")
	b = append(b, `","model":`...)
	b = append(b, c.asks.model...)
	b = append(b, `,"results":[{"flagged":`...)
	b = strconv.AppendBool(b, t.reason == "content_filter")
	return append(b, `,"categories":{},"category_scores":{}}]`...)
}
