package anthropic

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
)

// turn is a message of Anthropic's: what one side says until the other does.
type turn struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

// block is a part of a turn.
type block struct {
	Type string `json:"type"`
	// of text
	Text string `json:"text,omitempty"`
	// of image
	Source *source `json:"source,omitempty"`
	// of tool_use
	ID    string         `json:"id,omitempty"`
	Name  string         `json:"name,omitempty"`
	Input jsontext.Value `json:"input,omitzero"`
	// of tool_result
	ToolUseID string  `json:"tool_use_id,omitempty"`
	Content   []block `json:"content,omitempty"`
	// of any
	CacheControl jsontext.Value `json:"cache_control,omitzero"`
}

type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
}

// message is one of a chat line's.
type message struct {
	Role         string           `json:"role"`
	Content      jsontext.Value   `json:"content"`
	Refusal      string           `json:"refusal"`
	ToolCalls    []jsontext.Value `json:"tool_calls"`
	ToolCallID   string           `json:"tool_call_id"`
	FunctionCall jsontext.Value   `json:"function_call"`
	Audio        jsontext.Value   `json:"audio"`
}

// say puts the messages into the request: what the system says apart, wherever it stands, and
// what one side says in a row as one turn, as a tool's results must be.
func (r *request) say(messages []jsontext.Value) error {
	for i, v := range messages {
		at := element("messages", i)
		var m message
		if err := read(v, &m, at); err != nil {
			return err
		}
		blocks, err := m.blocks(at)
		switch {
		case err != nil:
			return err
		case m.Role == "system" || m.Role == "developer":
			r.System = append(r.System, blocks...)
		case m.Role == "assistant":
			r.add("assistant", blocks)
		case len(blocks) == 0: // Anthropic wants something of a user
			return &chat.Refusal{Param: at + ".content", Why: "is empty"}
		default:
			r.add("user", blocks)
		}
	}
	if len(r.Messages) == 0 {
		return &chat.Refusal{Param: "messages", Why: "must have one of a user for Anthropic"}
	}
	return nil
}

func (r *request) add(role string, blocks []block) {
	last := len(r.Messages) - 1
	switch {
	case len(blocks) == 0: // an assistant that said nothing
	case last >= 0 && r.Messages[last].Role == role:
		r.Messages[last].Content = append(r.Messages[last].Content, blocks...)
	default:
		r.Messages = append(r.Messages, turn{role, blocks})
	}
}

func (m *message) blocks(at string) ([]block, error) {
	said, err := content(m.Content, at+".content", m.Role == "user" || m.Role == "tool")
	if err != nil {
		return nil, err
	}
	switch m.Role {
	case "system", "developer", "user":
		return said, nil
	case "assistant":
		return m.assistant(said, at)
	case "tool":
		return []block{{Type: "tool_result", ToolUseID: m.ToolCallID, Content: said}}, nil
	}
	return nil, &chat.Refusal{Param: at + ".role", Why: "is not supported by Anthropic"}
}

func (m *message) assistant(said []block, at string) ([]block, error) {
	switch {
	case chat.Given(m.FunctionCall) != nil:
		return nil, &chat.Refusal{Param: at + ".function_call", Why: "is not supported by Anthropic: use tool_calls"}
	case chat.Given(m.Audio) != nil:
		return nil, &chat.Refusal{Param: at + ".audio", Why: "is not supported by Anthropic"}
	case m.Refusal != "":
		said = append(said, block{Type: "text", Text: m.Refusal})
	}
	for i, v := range m.ToolCalls {
		b, err := toolUse(v, element(at+".tool_calls", i))
		if err != nil {
			return nil, err
		}
		said = append(said, b)
	}
	return said, nil
}

// part is one of a message's content.
type part struct {
	Type         string         `json:"type"`
	Text         string         `json:"text"`
	Refusal      string         `json:"refusal"`
	ImageURL     jsontext.Value `json:"image_url"`
	CacheControl jsontext.Value `json:"cache_control"`
}

// content makes blocks of a text or of parts. Empty texts are left out: Anthropic refuses them.
func content(v jsontext.Value, at string, images bool) ([]block, error) {
	if chat.Given(v) == nil {
		return nil, nil
	}
	if v.Kind() == '"' {
		b := block{Type: "text"}
		if err := read(v, &b.Text, at); err != nil || b.Text == "" {
			return nil, err
		}
		return []block{b}, nil
	}
	var parts []part
	if err := read(v, &parts, at); err != nil {
		return nil, err
	}
	var blocks []block
	for i, p := range parts {
		b, err := p.block(element(at, i), images)
		if err != nil {
			return nil, err
		}
		if b.Type != "text" || b.Text != "" {
			blocks = append(blocks, b)
		}
	}
	return blocks, nil
}

func (p *part) block(at string, images bool) (block, error) {
	b := block{Type: "text", Text: p.Text, CacheControl: chat.Given(p.CacheControl)}
	switch {
	case p.Type == "text":
		return b, nil
	case p.Type == "refusal":
		b.Text = p.Refusal
		return b, nil
	case p.Type == "image_url" && images:
		b.Type, b.Text = "image", ""
		var err error
		b.Source, err = image(p.ImageURL, at+".image_url")
		return b, err
	}
	return b, &chat.Refusal{Param: at + ".type", Why: "is not supported by Anthropic here"}
}

// image makes a source of a data URL or of an address that Anthropic is to fetch.
func image(v jsontext.Value, at string) (*source, error) {
	var i struct {
		URL string `json:"url"`
	}
	to := any(&i)
	if v.Kind() == '"' { // some write it without the object
		to = &i.URL
	}
	if v == nil {
		return nil, &chat.Refusal{Param: at, Why: "is missing"}
	}
	if err := read(v, to, at); err != nil {
		return nil, err
	}
	if strings.HasPrefix(i.URL, "https://") {
		return &source{Type: "url", URL: i.URL}, nil
	}
	head, data, ok := strings.Cut(i.URL, ",")
	kind, isData := strings.CutPrefix(head, "data:")
	kind, isBase64 := strings.CutSuffix(kind, ";base64")
	if !ok || !isData || !isBase64 {
		return nil, &chat.Refusal{Param: at + ".url", Why: "must be https or data:…;base64 for Anthropic"}
	}
	kind, _, _ = strings.Cut(kind, ";") // no parameters there
	return &source{Type: "base64", MediaType: strings.ToLower(kind), Data: data}, nil
}
