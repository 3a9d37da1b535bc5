package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/consumer"
	"nightshift/producer"
)

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	exitDead  = 3 // finished, with dead letters
	exitHeld  = 4 // held by the provider
)

// app is what the commands share: the outside world and the settings.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	started        time.Time
	flags          flags
	config         *config
	limits         producer.Limits
	log            zerolog.Logger
	observer       consumer.Observer // of the workers; nil where nobody watches
}

// exitCode is an error that only sets the exit code; what there is to say has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// hinted is a user's mistake with what to do about it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.hint }

// hint adds to an error what to do about it; without an error there is nothing to do.
func hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// usageError is a mistake in the command line itself.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{started: time.Now(), stdin: stdin, stdout: stdout, stderr: &screen{out: stderr}}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(interrupted(ctx, root.ExecuteContext(ctx)))
}

// interrupted gives a word to the end of a command that was told to end and had none of its own.
func interrupted(ctx context.Context, err error) error {
	var h interface{ Hint() string }
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) || errors.As(err, &h) {
		return err
	}
	return errors.New("interrupted")
}

// exit turns an error into its one line and its code.
func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	printf(a.stderr, "nightshift: %s\n", oneLine(err.Error()))
	var h interface{ Hint() string }
	switch {
	case errors.As(err, &h) && h.Hint() != "":
		printf(a.stderr, "hint: %s\n", h.Hint())
	case unanswered(err):
		printf(a.stderr, "hint: the broker went away or does not answer: give the same command again\n")
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitError
}

// oneLine leaves out what a terminal would obey.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "nightshift",
		Short: "Drain files of prompts through an LLM provider, nothing lost",
		Long: "nightshift takes a file of prompts, puts them on a queue, calls the provider for each and\n" +
			"writes the answers in the order of the file. Stop it at any moment: it goes on where it was.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.setUp(cmd)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{hint(err, "see %s --help", cmd.CommandPath())}
	})
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages",
		fmt.Sprintf(".FlagUsagesWrapped %d", columns)))
	a.flags.global(root.PersistentFlags())
	root.AddCommand(
		a.completeQueueFlag(a.runCommand()), a.completeQueueFlag(a.submitCommand()),
		a.completeQueueFlag(a.workCommand()), a.completeQueueFlag(a.serveCommand()), a.statusCommand(), a.resultsCommand(),
		a.waitCommand(), a.verifyCommand(), a.cancelCommand(), a.deleteCommand(),
		a.budgetCommand(), a.deadCommand(), a.pauseCommand(), a.resumeCommand(),
		a.simulateCommand(), a.checkCommand(), a.explainCommand(), a.benchCommand(), a.versionCommand(),
	)
	foldHelp(root)
	return root
}

// setUp reads the configuration before any command runs: flag over environment over file over
// default.
func (a *app) setUp(cmd *cobra.Command) error {
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return usageError{err}
	}
	var err error
	if a.log, err = a.flags.logger(a.stderr); err != nil {
		return usageError{err}
	}
	if a.flags.logLevel == "" && isTerminal(a.stderr) {
		a.log = a.log.Hook(zerolog.HookFunc(mended))
	}
	a.config, err = loadConfig(a.flags.configFile)
	return err
}

// mended drops what the broker says of a store whose last owner was killed: it is what it then
// does and mends every time.
func mended(e *zerolog.Event, _ zerolog.Level, msg string) {
	if strings.HasPrefix(msg, "Filestore [") &&
		(strings.Contains(msg, "is outdated") || strings.Contains(msg, "state outdated") ||
			strings.Contains(msg, "prior state file")) {
		e.Discard()
	}
}

// fromEnvironment sets each flag that was not given from NIGHTSHIFT_<FLAG>.
func fromEnvironment(fs *pflag.FlagSet) error {
	var first error
	fs.VisitAll(func(f *pflag.Flag) {
		name := "NIGHTSHIFT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if f.Changed || !ok || value == "" {
			return
		}
		if err := fs.Set(f.Name, value); err != nil && first == nil {
			first = fmt.Errorf("environment variable %s: %w", name, err)
		}
	})
	return first
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usageError{hint(fmt.Errorf("unknown command %q", args[0]), "%ssee %s --help",
			suggestion(cmd, args[0]), cmd.CommandPath())}
	}
	return usageError{hint(fmt.Errorf("unexpected argument %q", args[0]), "see %s --help", cmd.CommandPath())}
}

func suggestion(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	if all := cmd.SuggestionsFor(typed); len(all) > 0 {
		return "did you mean " + strings.Join(all, " or ") + "? "
	}
	return ""
}

// optionalArg wants one argument or none.
func optionalArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return oneArg(what)(cmd, args)
	}
}

// oneArg wants exactly one argument, named for the message.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return usageError{hint(fmt.Errorf("%s: %s is missing", cmd.Name(), what), "see %s --help", cmd.CommandPath())}
		}
		return usageError{hint(fmt.Errorf("%s: one %s at a time", cmd.Name(), what), "see %s --help", cmd.CommandPath())}
	}
}
