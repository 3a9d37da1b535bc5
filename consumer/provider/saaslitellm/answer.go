package saaslitellm

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/policy"
)

// check refuses what an answer of the Jobs API, one text and how it ended, cannot hold.
func check(c policy.Call) error {
	if c.Path != chat.Path {
		return &chat.Refusal{Param: "url", Why: "must be " + chat.Path + " for a SaaS LiteLLM"}
	}
	var q struct {
		N        jsontext.Value `json:"n"`
		LogProbs jsontext.Value `json:"logprobs"`
		Stream   jsontext.Value `json:"stream"`
		TeamID   jsontext.Value `json:"team_id"`
		JobType  jsontext.Value `json:"job_type"`
	}
	if chat.Decode(c.Body, &q) != nil {
		return &chat.Refusal{Param: "body", Why: "is no JSON object"}
	}
	return chat.Unsupported("a SaaS LiteLLM", []chat.Ask{
		{Name: "n", Value: q.N, Nothing: []string{"1"}},
		{Name: "logprobs", Value: q.LogProbs, Nothing: []string{"false"}},
		{Name: "stream", Value: q.Stream, Nothing: []string{"false"}},
		{Name: "team_id", Value: q.TeamID}, // the configuration's, as the key is
		{Name: "job_type", Value: q.JobType},
	})
}

// reply is an answer of create-and-call or llm-call.
type reply struct {
	JobID    string `json:"job_id"`
	CallID   string `json:"call_id"`
	Status   string `json:"status"`
	Response *struct {
		Content   *string         `json:"content"`
		Finish    string          `json:"finish_reason"`
		ToolCalls []chat.ToolCall `json:"tool_calls"`
	} `json:"response"`
	Metadata struct {
		Tokens *int   `json:"tokens_used"`
		Model  string `json:"model"`
		Group  string `json:"model_group"`
	} `json:"metadata"`
	Message string `json:"error_message"`
}

// answer translates what is an answer; an error goes to policy as it came.
func (p *Provider) answer(r policy.Reply) policy.Reply {
	if r.Err != nil || r.Status/100 != 2 {
		return r
	}
	var v reply
	err := chat.Decode(r.Body, &v)
	switch {
	case err == nil && v.Status == "failed":
		r.Body = failure(v.Message)
	case err == nil && v.Response == nil && policy.Classify(r) != nil: // perhaps an error in a 200
	case err != nil || v.Response == nil || v.Response.Content == nil && v.Response.ToolCalls == nil:
		r.Body = nil // no answer, whatever it looks like
	default:
		r.Body, r.Err = p.completion(v, r.Body)
	}
	return r
}

// failure is the error that a job's failure is: the server's model may be at fault or the job.
func failure(message string) []byte {
	return []byte(`{"error":{"type":"server_error",` + `"message":` + string(chat.String("", message).Value) + `}}`)
}

// completion makes a chat.completion. Only the sum of the tokens is known.
func (p *Provider) completion(v reply, raw []byte) ([]byte, error) {
	a := chat.NewAnswer(orElse(v.CallID, v.JobID), orElse(v.Metadata.Model, v.Metadata.Group), chat.Choice{
		Message: chat.Message{
			Role: "assistant", Content: v.Response.Content, ToolCalls: v.Response.ToolCalls,
		},
		FinishReason: orElse(v.Response.Finish, "stop"),
	})
	if v.Metadata.Tokens != nil {
		a.Usage = &chat.Usage{Total: *v.Metadata.Tokens}
	}
	if p.c.Raw {
		a.Raw = raw
	}
	return chat.Encode(a)
}

// jobID reads the id of a new job; empty if it gives none that can be part of a path.
func jobID(body []byte) string {
	var v reply
	if chat.Decode(body, &v) != nil || !isID(v.JobID) {
		return ""
	}
	return v.JobID
}

func isID(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return s != "" && len(s) <= 128 && strings.Trim(s, letters) == ""
}
