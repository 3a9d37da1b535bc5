package policy

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// maxShrinks bounds the calls that are made to find out how much of a chat fits.
const maxShrinks = 4

// Shorter is the edit with which a chat that was too long for the model's context may fit: system
// messages and the last turn stay, and the oldest turns go, as many as the provider's message
// says or else half. A turn begins with what the user says, so that the first message stays the
// user's and no tool's result loses its call. ok is false when there is nothing left to drop, for
// a body that is no chat, and after four times.
func (e Edit) Shorter(body []byte, f *Fault) (next Edit, ok bool) {
	c, ok := readChat(body)
	if !ok || e.Shrinks >= maxShrinks {
		return e, false
	}
	next = e
	next.Shrinks++
	turns := c.turns[min(e.turns(c), len(c.turns)):]
	droppable := turns[:max(len(turns)-1, 0)]
	for goal := c.surplus(turns, body, f.Message); goal > 0 && len(droppable) > 0; droppable = droppable[1:] {
		next.Dropped += droppable[0].messages
		goal -= droppable[0].bytes
	}
	return next, next.Dropped > e.Dropped
}

// turns is how many of the chat's turns the edit has dropped.
func (e Edit) turns(c chat) (n int) {
	for left := e.Dropped; n < len(c.turns) && left > 0; n++ {
		left -= c.turns[n].messages
	}
	return n
}

// chat is a body's messages: where they stand in it, and how they hang together.
type chat struct {
	from, to int // of the array, its brackets not included
	messages []message
	turns    []turn
	fixed    int // bytes of the system messages
}

type message struct {
	from, to int
	system   bool
}

// turn is what the user says and all that follows it up to the next time.
type turn struct{ messages, bytes int }

// readChat finds the messages of a body. A doubled name leaves it open which of the two counts.
func readChat(body []byte) (c chat, ok bool) {
	found := 0
	d := decoder(body)
	whole := members(d, func(name string, d *jsontext.Decoder) bool {
		if name != `"messages"` || d.PeekKind() != '[' {
			return d.SkipValue() == nil
		}
		found++
		return c.read(d)
	})
	return c, whole && found == 1 && len(c.turns) > 0
}

func (c *chat) read(d *jsontext.Decoder) bool {
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	c.from = int(d.InputOffset())
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return false
		}
		end := int(d.InputOffset())
		c.add(message{from: end - len(v), to: end}, v)
	}
	_, err := d.ReadToken()
	c.to = int(d.InputOffset()) - 1
	return err == nil
}

func (c *chat) add(m message, v jsontext.Value) {
	role, result := speaker(v)
	m.system = role == "system" || role == "developer"
	c.messages = append(c.messages, m)
	size := m.to - m.from
	switch {
	case m.system:
		c.fixed += size
		return
	case len(c.turns) == 0 || role == "user" && !result:
		c.turns = append(c.turns, turn{})
	}
	t := &c.turns[len(c.turns)-1]
	t.messages++
	t.bytes += size
}

// speaker reads who a message is of, and whether it holds the result of a tool, which Anthropic
// has the user say.
func speaker(v jsontext.Value) (role string, result bool) {
	members(decoder(v), func(name string, d *jsontext.Decoder) bool {
		switch kind := d.PeekKind(); {
		case name == `"role"` && kind == '"':
			return readString(d, &role)
		case name == `"content"` && kind == '[':
			blocks, err := d.ReadValue()
			result = err == nil && hasResult(blocks)
			return err == nil
		}
		return d.SkipValue() == nil
	})
	return role, result
}

func hasResult(blocks jsontext.Value) (found bool) {
	d := decoder(blocks)
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '{' {
		whole := members(d, func(name string, d *jsontext.Decoder) bool {
			kind := ""
			if name == `"type"` && d.PeekKind() == '"' {
				read := readString(d, &kind)
				found = found || kind == "tool_result"
				return read
			}
			return d.SkipValue() == nil
		})
		if !whole {
			break
		}
	}
	return found
}

// surplus is how many bytes of the messages are too many: by the provider's numbers, with a
// twentieth to spare as no text has its tokens spread evenly, or else half of what may go.
func (c chat) surplus(turns []turn, body []byte, words string) int {
	all, droppable := c.fixed, 0
	for i, t := range turns {
		all += t.bytes
		if i < len(turns)-1 {
			droppable += t.bytes
		}
	}
	limit, asked, prompt := contextNumbers(words)
	if out := outputMax(body); prompt == 0 && asked > out {
		prompt = asked - out // where the number is the prompt's alone, a little more goes
	}
	if limit <= 0 || asked <= limit || prompt <= 0 {
		return max(droppable/2, 1)
	}
	share := float64(asked-limit) / float64(prompt)
	return max(int(share*1.05*float64(all)), 1)
}

// contextNumbers reads the tokens that a model takes, that a request came to with its output,
// and that its prompt has, from what providers say beside a context overflow (reference/providers.md).
// What is not said is 0.
func contextNumbers(words string) (limit, asked, prompt int) {
	words = strings.ToLower(words)
	n := func(re *regexp.Regexp) (found []int) {
		for _, s := range append(re.FindStringSubmatch(words), "")[1:] {
			v, _ := strconv.Atoi(s)
			found = append(found, v)
		}
		return found
	}
	p := contextPatterns()
	if m := n(p.sum); len(m) > 3 { // input + output > limit
		return m[2], m[0] + m[1], m[0]
	}
	if m := n(p.over); len(m) > 2 { // prompt > limit
		return m[1], m[0], m[0]
	}
	if m := n(p.exceeds); len(m) > 2 {
		return m[1], m[0], m[0]
	}
	if m := n(p.limit); len(m) > 1 {
		limit = m[0]
	}
	if m := n(p.asked); len(m) > 1 {
		asked = m[0]
	}
	if m := n(p.prompt); len(m) > 1 {
		prompt = m[0]
	}
	return limit, asked, prompt
}

// contextWords are the sentences of OpenAI and those like it, of Anthropic and of Gemini.
type contextWords struct{ limit, asked, prompt, over, sum, exceeds *regexp.Regexp }

//nolint:gochecknoglobals // compiled once, never changed
var contextPatterns = sync.OnceValue(func() contextWords {
	c := regexp.MustCompile
	return contextWords{
		limit:   c(`(?:maximum )?context (?:length|window|size)(?: is| of|:)? (\d+)`),
		asked:   c(`(?:you requested|resulted in|request has|requested about|contains) (\d+)`),
		prompt:  c(`(\d+) (?:tokens )?in the (?:messages|prompt|input)|(?:messages )?resulted in (\d+)`),
		over:    c(`(\d+) tokens > (\d+)`),
		sum:     c(`(\d+) \+ (\d+) > (\d+)`),
		exceeds: c(`\((\d+)\) exceeds the maximum number of tokens allowed \((\d+)\)`),
	}
})
