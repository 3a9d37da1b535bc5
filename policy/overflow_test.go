package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nightshift/policy"
)

// said is a message of a test's chat; its text is as long as it weighs.
func said(role, name string, size int) string {
	return fmt.Sprintf(`{"role":%q,"content":"%s %s"}`, role, name, strings.Repeat("x", size))
}

func chatOf(messages ...string) []byte {
	return []byte(`{"model": "m", "messages":[` + strings.Join(messages, ",") + `] ,"max_tokens":10, "é":1.0}`)
}

// names are those of the messages that a body holds.
func names(t interface{ Fatalf(string, ...any) }, body []byte) (all []string) {
	var c struct {
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, m := range c.Messages {
		name, _, _ := strings.Cut(strings.Trim(string(m.Content), `"`), " ")
		all = append(all, name)
	}
	return all
}

func overflow(words string) *policy.Fault {
	return &policy.Fault{Class: policy.ContextOverflow, Message: words}
}

func TestShorterKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	call := `{"role":"assistant","content":"call","tool_calls":[{"id":"1","type":"function"}]}`
	result := `{"role":"tool","tool_call_id":"1","content":"result"}`
	block := `{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]}`
	for _, c := range []struct {
		name string
		body []byte
		want string // after one step of halving
	}{
		{"the oldest turns go", chatOf(said("system", "s", 5), said("user", "a", 9), said("assistant", "b", 9),
			said("user", "c", 9), said("assistant", "d", 9), said("user", "e", 9)), "s c d e"},
		{"system messages anywhere stay", chatOf(said("user", "a", 9), said("developer", "s", 5), said("user", "b", 9)), "s b"},
		{"a tool's result keeps its call", chatOf(said("user", "a", 99), call, result, said("user", "b", 9)), "b"},
		{"the last turn stays whole", chatOf(said("user", "a", 9), said("user", "b", 9), call, result), "b call result"},
		{"what came before the user goes first", chatOf(said("assistant", "hello", 30), said("user", "a", 9), said("user", "b", 9)), "a b"},
		{"Anthropic's results are no turn", chatOf(said("user", "a", 9), said("user", "b", 9), said("assistant", "c", 9), block), "b c [{"},
	} {
		e, ok := policy.Edit{}.Shorter(c.body, overflow(""))
		got := e.Apply(c.body)
		if !ok || !slices.EqualFunc(names(t, got), strings.Fields(c.want), strings.HasPrefix) {
			t.Errorf("%s: %v %v", c.name, ok, names(t, got))
		}
		head, tail := `{"model": "m", "messages":[`, `] ,"max_tokens":10, "é":1.0}`
		if !strings.HasPrefix(string(got), head) || !strings.HasSuffix(string(got), tail) {
			t.Errorf("%s: the rest changed: %s", c.name, got)
		}
	}
}

func TestShorterGivesUp(t *testing.T) {
	t.Parallel()
	two := chatOf(said("user", "a", 9), said("user", "b", 9))
	for name, c := range map[string]struct {
		body []byte
		e    policy.Edit
	}{
		"one turn":       {chatOf(said("system", "s", 5), said("user", "a", 9)), policy.Edit{}},
		"only system":    {chatOf(said("system", "s", 5)), policy.Edit{}},
		"no message":     {chatOf(), policy.Edit{}},
		"all dropped":    {two, policy.Edit{Dropped: 1, Shrinks: 1}},
		"more than all":  {two, policy.Edit{Dropped: 9, Shrinks: 1}},
		"too many tries": {two, policy.Edit{Shrinks: 4}},
		"no chat":        {[]byte(`{"model":"m","input":"text"}`), policy.Edit{}},
		"no JSON":        {[]byte(`{"messages":[{"role":"user"},{"role":`), policy.Edit{}},
		"two chats":      {[]byte(`{"messages":[{"role":"user"},{"role":"user"}],"messages":[]}`), policy.Edit{}},
	} {
		if e, ok := c.e.Shorter(c.body, overflow("")); ok {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// Each provider's numbers tell how much to drop: a hundred turns, of which half are too many.
func TestShorterReadsNumbers(t *testing.T) {
	t.Parallel()
	var messages []string
	for i := range 100 {
		messages = append(messages, said("user", fmt.Sprint("m", i), 100))
	}
	body := chatOf(messages...)
	for _, words := range []string{
		"This model's maximum context length is 5000 tokens. However, you requested 10000 tokens (9990 in the messages, 10 in the completion). Please reduce the length.",
		"This model's maximum context length is 5000 tokens. However, your messages resulted in 10000 tokens.",
		"maximum context length is 5000 tokens, however you requested 10000 tokens",
		"'max_tokens' is too large: 10. This model's maximum context length is 5000 tokens and your request has 10000 input tokens.",
		"prompt is too long: 10000 tokens > 5000 maximum",
		"input length and `max_tokens` exceed context limit: 9990 + 10 > 5000, decrease input length or `max_tokens` and try again",
		"The input token count (10000) exceeds the maximum number of tokens allowed (5000).",
		"Prompt contains 10000 tokens and 0 draft tokens, too large for model with 5000 maximum context length 5000",
	} {
		e, ok := policy.Edit{}.Shorter(body, overflow(words))
		if !ok || e.Dropped < 50 || e.Dropped > 56 || e.Shrinks != 1 {
			t.Errorf("%s: %+v", words, e)
		}
	}
	e, ok := policy.Edit{}.Shorter(body, overflow("maximum context length is 9900 tokens, however you requested 10000 tokens"))
	if !ok || e.Dropped < 1 || e.Dropped > 3 {
		t.Errorf("a little too long: %+v", e)
	}
}

// Whatever the chat and the numbers, what is left is JSON, a part of what there was in its order,
// with all system messages and the last turn; and it gets shorter, or ends.
func TestSlidingWindowLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var messages, all, kept []string
		for i := range rapid.IntRange(1, 20).Draw(t, "messages") {
			role := rapid.SampledFrom([]string{"system", "user", "assistant", "tool", "developer"}).Draw(t, "role")
			name := fmt.Sprintf("m%d-%s", i, role)
			all = append(all, name)
			messages = append(messages, said(role, name, rapid.IntRange(0, 500).Draw(t, "size")))
		}
		last := len(all) - 1
		for i, name := range all {
			if strings.HasSuffix(name, "-user") {
				last = i
			}
		}
		for i, name := range all {
			if strings.HasSuffix(name, "-system") || strings.HasSuffix(name, "-developer") ||
				i >= last && strings.HasSuffix(all[last], "-user") {
				kept = append(kept, name)
			}
		}
		body, e := chatOf(messages...), policy.Edit{}
		for step := 0; ; step++ {
			limit, asked := rapid.IntRange(0, 2000).Draw(t, "limit"), rapid.IntRange(0, 2000).Draw(t, "asked")
			next, ok := e.Shorter(body, overflow(fmt.Sprintf("maximum context length is %d tokens, you requested %d", limit, asked)))
			if !ok {
				break
			}
			if next.Dropped <= e.Dropped || step >= 4 {
				t.Fatalf("%+v, then %+v", e, next)
			}
			e = next
			checkWindow(t, all, kept, names(t, e.Apply(body)), e)
		}
		if got := (policy.Edit{}).Apply(body); string(got) != string(body) {
			t.Fatalf("changed by nothing: %s", got)
		}
	})
}

func checkWindow(t *rapid.T, all, kept, got []string, e policy.Edit) {
	t.Helper()
	if len(got) != len(all)-e.Dropped {
		t.Fatalf("%d of %d messages, %+v", len(got), len(all), e)
	}
	at := 0
	for _, name := range got {
		i := slices.Index(all[at:], name)
		if i < 0 {
			t.Fatalf("%v is no part of %v", got, all)
		}
		at += i + 1
	}
	for _, name := range kept {
		if !slices.Contains(got, name) {
			t.Fatalf("%s is missing in %v of %v", name, got, all)
		}
	}
	for _, name := range got { // the first that is no system message is the user's, if there is one
		if strings.HasSuffix(name, "-system") || strings.HasSuffix(name, "-developer") {
			continue
		}
		if !strings.HasSuffix(name, "-user") {
			t.Fatalf("%v begins with %s", got, name)
		}
		break
	}
}

func TestLonger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body    string
		ceiling int
		want    []int // the limits, try by try
	}{
		{`{"max_tokens":10}`, 0, []int{20, 40}},
		{`{"max_completion_tokens":10}`, 0, []int{20, 40}},
		{`{"max_output_tokens":10}`, 0, []int{20, 40}},
		{`{"max_tokens":10}`, 25, []int{20, 25}},
		{`{"max_tokens":10}`, 10, nil},
		{`{"max_tokens":10}`, 5, nil},
		{`{"max_tokens":null}`, 0, nil},
		{`{}`, 100, nil},
		{`nothing`, 100, nil},
	} {
		var got []int
		for e := (policy.Edit{}); ; {
			next, ok := e.Longer([]byte(c.body), c.ceiling)
			if !ok {
				break
			}
			e = next
			got = append(got, e.MaxTokens)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s below %d: %v, want %v", c.body, c.ceiling, got, c.want)
		}
	}
}

func TestRaiseKeepsTheRest(t *testing.T) {
	t.Parallel()
	e := policy.Edit{MaxTokens: 500}
	for body, want := range map[string]string{
		`{ "max_tokens" : 7 , "a":1.00}`:                                  `{ "max_tokens" : 500 , "a":1.00}`,
		`{"max_completion_tokens":7,"x":{"max_tokens":3},"max_tokens":7}`: `{"max_completion_tokens":500,"x":{"max_tokens":3},"max_tokens":500}`,
		`{"max_tokens":null,"max_output_tokens":1}`:                       `{"max_tokens":null,"max_output_tokens":500}`,
		`{"prompt":"\"max_tokens\":7"}`:                                   `{"prompt":"\"max_tokens\":7"}`,
	} {
		if got := string(e.Apply([]byte(body))); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestRequestModel(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{`{"messages":[],"model":"m"}`: "m", `{"model":5}`: "", `{}`: "", `x`: ""} {
		if got := policy.RequestModel([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
