package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Context is how many tokens a model takes, its answer included. A Context without a model is that of
// all others; 0 tokens are no limit.
type Context struct {
	Model  string
	Tokens int
}

// contexts reads 8192, or 100/gpt-big:1000: a model's name may hold anything else.
func contexts(s string) (all []Context, err error) {
	for part := range strings.SplitSeq(s, "/") {
		model, tokens := "", part
		if i := strings.LastIndexByte(part, ':'); i >= 0 {
			model, tokens = part[:i], part[i+1:]
		}
		n, err := count(tokens)
		if err != nil {
			return nil, errors.New("want TOKENS, or [MODEL:]TOKENS/…, such as 100/gpt-big:1000")
		}
		all = append(all, Context{model, n})
	}
	return all, nil
}

func formatContexts(all []Context) string {
	var parts []string
	for _, c := range all {
		parts = append(parts, unless(c.Model == "", c.Model+":")+strconv.Itoa(c.Tokens))
	}
	return strings.Join(parts, "/")
}

// overflow is the refusal of a request that exceeds its model's context, in OpenAI's words.
func (c *call) overflow() *failure {
	limit, model := 0, strings.Trim(string(c.asks.model), `"`)
	for _, m := range c.plan.Contexts {
		if m.Model == model {
			limit = m.Tokens
			break
		}
		if m.Model == "" {
			limit = m.Tokens
		}
	}
	in, out := c.asks.tokens(), c.asks.outputMax
	if limit == 0 || in+out <= limit {
		return nil
	}
	return invalid(400, "context_length_exceeded", fmt.Sprintf("This model's maximum context length is %d tokens. "+
		"However, you requested %d tokens (%d in the messages, %d in the completion). "+
		"Please reduce the length of the messages or completion.", limit, in+out, in, out))
}
