package sim

// chunk is the ith event of a stream: the role, then a word each, then the reason it ended.
// It is good until the next one.
func (c *call) chunk(t text, i int, reason string) []byte {
	b := c.event(c.out.b[:0])
	b = append(b, `,"choices":[{"index":0,`...)
	if c.kind == kindChat {
		b = append(b, `"delta":{`...)
		switch {
		case i == 0:
			b = append(b, `"role":"assistant","content":""}`...)
		case reason != "":
			b = append(b, '}')
		default:
			b = append(b, `"content":"`...)
			b = t.piece(b, i-1)
			b = append(b, `"}`...)
		}
	} else {
		b = append(b, `"text":"`...)
		if i > 0 && reason == "" {
			b = t.piece(b, i-1)
		}
		b = append(b, '"')
	}
	b = append(b, `,"finish_reason":`...)
	b = appendReason(b, reason)
	b = append(b, "}]}\n\n"...)
	c.out.b = b
	return b
}

// usageChunk is the event without choices that include_usage asks for.
func (c *call) usageChunk(t text) []byte {
	b := c.event(c.out.b[:0])
	b = append(b, `,"choices":[],"usage":`...)
	b = t.usage(b, "prompt_tokens", "completion_tokens")
	b = append(b, "}\n\n"...)
	c.out.b = b
	return b
}

func (c *call) event(b []byte) []byte {
	b = append(b, "data: "...)
	if c.kind == kindChat {
		return c.opening(b, "chatcmpl-", "chat.completion.chunk")
	}
	return c.opening(b, "cmpl-", "text_completion")
}

// piece is a word with the space before it, so that the pieces add up to the text.
func (t text) piece(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ' ')
	}
	return append(b, t.word(i)...)
}

func appendReason(b []byte, reason string) []byte {
	if reason == "" {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = append(b, reason...)
	return append(b, '"')
}
