package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// flags holds the values of all flags; each command registers those it knows.
type flags struct {
	configFile, store, sync, natsURL string
	logLevel, logFormat              string

	provider, baseURL, model, apiKeyEnv, sim string
	maxInFlight, rpm, tpm, attempts          int
	timeout, grace, probeEvery, within       time.Duration
	startAt                                  string

	queue, output, batch, onHold string
	skipInvalid, drain, json     bool
	watch, errors                bool
	budget                       budgetConfig
	estimate                     bool

	again, now, dryRun, yes, repair, inOrder, followNew bool
	format, listen                                      string
	waitFor                                             time.Duration
}

func (f *flags) global(fs *pflag.FlagSet) {
	fs.StringVar(&f.configFile, "config", "", "configuration `file` (default nightshift.yaml, if there is one)")
	fs.StringVar(&f.store, "store", "", "`directory` of the embedded broker (default "+defaultStoreWords+")")
	fs.StringVar(&f.sync, "sync", "", "when the store is fsynced: always, or a `duration` such as 1s (default always)")
	fs.StringVar(&f.natsURL, "nats-url", "", "use the NATS server or cluster at `URL` instead of the embedded broker")
	fs.StringVar(&f.logLevel, "log-level", "",
		"least `level` to log: debug, info, warn or error (default info, and warn where a progress bar is shown)")
	fs.StringVar(&f.logFormat, "log-format", "auto", "log `format`: json, text, or auto: text on a terminal")
}

// calling registers the flags of commands that call a provider.
func (f *flags) calling(fs *pflag.FlagSet) {
	fs.StringVar(&f.provider, "provider", "", "`name` of a configured provider, or sim for the simulated one")
	fs.StringVar(&f.baseURL, "base-url", "",
		"`URL` of an OpenAI-compatible provider (default $OPENAI_BASE_URL or https://api.openai.com/v1)")
	fs.StringVar(&f.model, "model", "", "`model` to use instead of the ones the jobs name")
	fs.StringVar(&f.apiKeyEnv, "api-key-env", "", "environment `variable` that holds the API key (default OPENAI_API_KEY)")
	fs.StringVar(&f.sim, "sim", "",
		"`how` the simulated provider behaves, such as latency=400ms,capacity=64; see nightshift simulate --help")
	fs.IntVar(&f.maxInFlight, "max-in-flight", 0, "ceiling of calls in flight, of all workers together (default 64)")
	fs.IntVar(&f.rpm, "rpm", 0, "requests a minute at most, of all workers together (default unlimited)")
	fs.IntVar(&f.tpm, "tpm", 0, "tokens a minute at most, of all workers together (default unlimited)")
	fs.DurationVar(&f.timeout, "timeout", 0, "time for one call (default 60s)")
	fs.IntVar(&f.attempts, "attempts", 0, "failed calls a job may have before it is a dead letter (default 5)")
	fs.DurationVar(&f.grace, "grace", 30*time.Second, "time for calls in flight to finish after Ctrl-C")
	fs.DurationVar(&f.probeEvery, "probe-every", 0, "how often one job is tried while the provider is held (default 60s)")
}

func (f *flags) logger(w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(firstOf(f.logLevel, zerolog.LevelInfoValue))
	if err != nil {
		return zerolog.Logger{}, hint(fmt.Errorf("--log-level %q", f.logLevel), "use debug, info, warn or error")
	}
	switch f.logFormat {
	case "auto":
		if isTerminal(w) {
			w = consoleWriter(w)
		}
	case "text":
		w = consoleWriter(w)
	case "json":
	default:
		return zerolog.Logger{}, hint(fmt.Errorf("--log-format %q", f.logFormat), "use json, text or auto")
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

func consoleWriter(w io.Writer) io.Writer {
	_, plain := os.LookupEnv("NO_COLOR")
	return zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: plain || !isTerminal(w)}
}
