package policy

// finishRefusal is the reason of an answer in which the model itself refuses.
const finishRefusal = "refusal"

// Ending is how an answer came to its end.
type Ending uint8

// The endings.
const (
	// Whole is an answer that says all it had to.
	Whole Ending = iota
	// Cut is one that reached the limit of its length; more tokens may bring it to its end.
	Cut
	// Withheld is one that a content policy cut or the model refused to give; more tokens help nothing.
	Withheld
)

// Ended tells how the answer came to its end, from OpenAI's reasons, those of its Responses API and
// Anthropic's. A reason that is none of these is one of a whole answer.
func (a Answer) Ended() Ending {
	switch a.FinishReason {
	case "length", "max_tokens", "max_output_tokens", "incomplete", "model_context_window_exceeded":
		return Cut
	case "content_filter", finishRefusal:
		return Withheld
	}
	return Whole
}

// TruncatedFault is the fault of an answer that its queue does not want as it ended.
func TruncatedFault(r Reply, a Answer) *Fault {
	return &Fault{
		Class: Truncated, Status: r.Status, Code: word([]string{a.FinishReason}), RequestID: RequestID(r.Header),
		Rule: "on_truncated",
	}
}
