// Package saaslitellm calls a SaaS LiteLLM's Jobs API, in which every call belongs to a job
// that must be completed, as failed where its call failed: the team's credits depend on it.
// The answers are translated to chat.completion. It judges nothing and tries no call twice.
package saaslitellm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"nightshift/consumer/provider/internal/chat"
	"nightshift/consumer/provider/internal/post"
	"nightshift/policy"
)

// The ways to make a call.
const (
	// CreateAndCall leaves all of a job to the server: one request creates, calls and completes.
	CreateAndCall = "create_and_call"
	// Jobs makes three requests: create, llm-call, complete.
	Jobs = "jobs"
)

// Config of a Provider.
type Config struct {
	// BaseURL is the server's: /api/jobs/… is put behind it.
	BaseURL string
	// Key gives the virtual key for each call. Nil or empty sends none.
	Key func() string
	// TeamID and JobType are what jobs are created with. Both are required.
	TeamID, JobType string
	// Mode is CreateAndCall, the default, or Jobs.
	Mode string
	// StateDir is where the jobs that are open are written down in mode Jobs, so that those
	// of a process that died are completed as failed by the next one. Required for it.
	StateDir string
	// Model replaces the model the jobs name, where it is not empty.
	Model string
	// Raw keeps the original of an answer, as its member nightshift_raw.
	Raw bool
	// Complete is how long completing a job may take, three tries together. Default 30 s.
	Complete time.Duration
	// MaxInFlight is how many connections are kept for reuse, and how many jobs may be in
	// completion. Default 64.
	MaxInFlight int
	// MaxReply bounds a reply's body in bytes. Default 32 MiB.
	MaxReply int64
}

// Provider is a team at a SaaS LiteLLM. It is safe for concurrent use.
type Provider struct {
	c       Config
	post    *post.Client
	journal *journal // nil in mode CreateAndCall
	slots   chan struct{}
	work    sync.WaitGroup // completions
}

// New checks the configuration and returns a Provider. In mode Jobs it begins to complete, as
// failed, the jobs that processes which are no more left open. Close waits for all completions.
func New(c Config) (*Provider, error) {
	c.Mode = orElse(c.Mode, CreateAndCall)
	c.Complete = orElse(c.Complete, 30*time.Second)
	c.MaxInFlight = orElse(c.MaxInFlight, 64)
	switch {
	case c.TeamID == "" || c.JobType == "":
		return nil, errors.New("team_id and job_type: expected both")
	case c.Mode != CreateAndCall && c.Mode != Jobs:
		return nil, fmt.Errorf("mode %q: expected %s or %s", c.Mode, CreateAndCall, Jobs)
	}
	client, err := post.New(post.Config{BaseURL: c.BaseURL, MaxInFlight: c.MaxInFlight, MaxReply: c.MaxReply})
	if err != nil {
		return nil, err
	}
	p := &Provider{c: c, post: client, slots: make(chan struct{}, c.MaxInFlight)}
	if c.Mode == Jobs {
		if p.journal, err = openJournal(c.StateDir, c.BaseURL+"\n"+c.TeamID); err != nil {
			return nil, fmt.Errorf("open the list of open jobs: %w", err)
		}
		p.work.Go(p.sweep)
	}
	return p, nil
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Close waits until every job is completed, or could not be, and frees what it holds. Call may
// not be called any more.
func (p *Provider) Close() {
	p.work.Wait()
	p.post.Close()
	if p.journal != nil {
		p.journal.close()
	}
}

// Call puts a chat line to the server and reads the reply to its end, within ctx. The job's
// completion goes on behind it under a time of its own. Another line, and what the Jobs API
// cannot answer, is refused as a bad request, without a call.
func (p *Provider) Call(ctx context.Context, c policy.Call) policy.Reply {
	if err := check(c); err != nil {
		return chat.Refuse(err)
	}
	if p.c.Mode == Jobs {
		return p.callJob(ctx, c.Body)
	}
	members := append(p.own(), p.team()...)
	body, err := chat.Set(c.Body, members...)
	if err != nil {
		return chat.Refuse(err)
	}
	return p.answer(p.send(ctx, "/api/jobs/create-and-call", body))
}

// callJob makes a job, calls in it, and has it completed.
func (p *Provider) callJob(ctx context.Context, line []byte) policy.Reply {
	body, err := chat.Set(line, p.own()...)
	if err != nil {
		return chat.Refuse(err)
	}
	create, err := chat.Set([]byte("{}"), p.team()...)
	if err != nil {
		return policy.Reply{Err: err}
	}
	r := p.send(ctx, "/api/jobs/create", create)
	if r.Err != nil || r.Status/100 != 2 {
		return r
	}
	id := jobID(r.Body)
	if id == "" { // no answer either, which policy sees
		r.Body = nil
		return r
	}
	p.journal.opened(id)
	ending := failed("the call did not end")
	defer func() { p.complete(ctx, id, ending) }()
	r = p.answer(p.send(ctx, "/api/jobs/"+id+"/llm-call", body))
	ending = endingOf(r)
	return r
}

func (p *Provider) own() []chat.Member {
	if p.c.Model == "" {
		return nil
	}
	return []chat.Member{chat.String("model", p.c.Model)}
}

func (p *Provider) team() []chat.Member {
	return []chat.Member{chat.String("team_id", p.c.TeamID), chat.String("job_type", p.c.JobType)}
}

func (p *Provider) send(ctx context.Context, path string, body []byte) policy.Reply {
	h := http.Header{}
	if p.c.Key != nil {
		if key := p.c.Key(); key != "" {
			h.Set("Authorization", "Bearer "+key)
		}
	}
	return p.post.Do(ctx, post.Request{Path: path, Header: h, Body: body})
}
