package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nightshift/policy"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain FILE",
		Short: "Say what a provider's reply means and what a worker would do",
		Long: "explain reads one reply of a provider from a file, or - for standard input, and\n" +
			"says what it means, what a worker would do, who has to act, and by which rule.\n" +
			"It knows the rules of the configuration, calls nobody and shows none of the\n" +
			"reply's text. The reply is what curl -i printed, or JSON:\n\n" +
			`  {"kind":"openai", "status":429, "headers":{"retry-after":"20"}, "body":{}}`,
		Example: "  curl -si https://api.example.com/v1/models | nightshift explain -\n" +
			"  nightshift explain reply.json --json",
		Args: oneArg("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.explain(args[0]) },
	}
	cmd.Flags().StringVar(&a.flags.provider, "provider", "", "`name` of the provider whose own rules count too")
	cmd.Flags().BoolVar(&a.flags.json, "json", false, "one line of JSON, for scripts")
	return cmd
}

// explanation is what a reply comes to. An answer is of no class of policy: it is "answered".
type explanation struct {
	Class        string  `json:"class"`
	Outcome      string  `json:"outcome"`
	DelaySeconds float64 `json:"delay_seconds"`
	Owner        string  `json:"owner"`
	Remedy       string  `json:"remedy"`
	Rule         string  `json:"rule"`
}

func (a *app) explain(path string) error {
	n, err := a.explainer()
	if err != nil {
		return err
	}
	text, err := a.readReply(path)
	if err != nil {
		return err
	}
	r, err := parseReply(text)
	if err != nil {
		return hint(fmt.Errorf("%s: %w", path, err),
			`give what curl -i printed, or {"status": 429, "headers": {}, "body": {}}`)
	}
	e := explained(n.classify(r), firstOf(n.ProbeEvery, probeEvery))
	if a.flags.json {
		return json.NewEncoder(a.stdout).Encode(e)
	}
	e.print(a.stdout)
	return nil
}

// explainer is the provider whose rules count: the named one, or the one a run would call. Where
// none is configured the rules of everybody are left.
func (a *app) explainer() (named, error) {
	c := a.config
	name := firstOf(a.flags.provider, c.Queues[defaultQueue].Provider)
	if name == "" && len(c.Providers) == 1 {
		name = slices.Collect(maps.Keys(c.Providers))[0]
	}
	p, ok := c.Providers[name]
	if !ok && a.flags.provider != "" {
		return named{}, usageError{hint(fmt.Errorf("no provider %q", name), "name one of the configuration, or none")}
	}
	table, err := newTable(p.Rules, c.Rules)
	return named{name: name, providerConfig: p, table: table}, err
}

// maxReply bounds what is read: no provider sends more, and the wrong file may be huge.
const maxReply = 64 << 20

func (a *app) readReply(path string) ([]byte, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, hint(fmt.Errorf("read reply: %w", err), "name a file, or - for standard input")
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxReply+1))
	if err == nil && len(text) > maxReply {
		err = errors.New("it is longer than 64 MiB")
	}
	if err != nil {
		return nil, hint(fmt.Errorf("read reply: %w", err), "give one reply of a provider")
	}
	return text, nil
}

// probeEvery is how long a held provider rests before one job is tried, by default.
const probeEvery = time.Minute

// explained says what a worker does with a job's first reply.
func explained(f *policy.Fault, probe time.Duration) explanation {
	if f == nil {
		return explanation{
			Class: "answered", Outcome: "done", Owner: "nobody", Remedy: "Nothing: the answer is stored.", Rule: "answer",
		}
	}
	v := f.Class.Verdict()
	e := explanation{
		Class: string(f.Class), Outcome: v.String(), Owner: f.Class.Owner(), Remedy: f.Class.Remedy(), Rule: f.Rule,
	}
	switch v {
	case policy.VerdictHold: // until one job is tried again
		e.DelaySeconds = max(f.RetryAfter, probe).Seconds()
	case policy.VerdictRetry, policy.VerdictLater:
		d := policy.Decide(f, policy.History{}, 1, policy.Unclear, policy.Terms{Attempts: 2}, time.Now())
		e.DelaySeconds = d.Delay.Seconds()
	case policy.VerdictDead, policy.VerdictFallback: // nobody waits for anything
	}
	return e
}

func (e explanation) print(w io.Writer) {
	delay := "none"
	if e.DelaySeconds > 0 {
		delay = time.Duration(e.DelaySeconds * float64(time.Second)).Round(time.Millisecond).String()
	}
	for _, line := range [][2]string{
		{"class", e.Class},
		{"outcome", e.Outcome + outcomeWords(e.Outcome)},
		{"delay", delay},
		{"owner", e.Owner},
		{"remedy", e.Remedy},
		{"rule", e.Rule},
	} {
		printf(w, "%-8s %s\n", line[0], oneLine(line[1]))
	}
}

// outcomeWords say what an outcome means for the job.
func outcomeWords(outcome string) string {
	switch outcome {
	case "done":
		return ": the job has its answer"
	case "retry":
		return ": the job is called again, which counts as an attempt"
	case "later":
		return ": the job waits in the queue, which costs no attempt"
	case "hold":
		return ": no job of this provider is called until it is mended"
	case "dead":
		return ": the job is a dead letter"
	case "fallback":
		return ": the job goes to the fallback, and is a dead letter where there is none"
	}
	return ""
}
