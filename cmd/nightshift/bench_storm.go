package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) benchStormCommand() *cobra.Command {
	full, only := false, ""
	cmd := &cobra.Command{
		Use:   "storm",
		Short: "How much of a provider that refuses and fails is used",
		Long: "storm runs scenarios against a simulated provider over HTTP, each the same for nightshift and for a\n" +
			"loop in memory with 64 calls in flight and a backoff for each call, alone and with failsafe-go's\n" +
			"adaptive limiter around it. \"used\" is the share of what the provider would have carried, \"refused\"\n" +
			"the share of calls it refused, \"early\" are calls before a Retry-After had passed.\n\n" +
			"Scenarios: " + fold(strings.Join(stormNames(), ", "), len("Scenarios: ")),
		Example: "  nightshift bench storm --only steps\n  nightshift bench storm --full",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.benchStorm(cmd.Context(), only, full) },
	}
	cmd.Flags().BoolVar(&full, "full", false, "the whole length of each scenario; half an hour for all")
	cmd.Flags().StringVar(&only, "only", "", "run the scenario of that `name`")
	return cmd
}

func stormNames() (names []string) {
	for _, s := range storms(false) {
		names = append(names, s.name)
	}
	return names
}

func (a *app) benchStorm(ctx context.Context, only string, full bool) error {
	chosen := storms(full)
	if only != "" {
		i := slices.Index(stormNames(), only)
		if i < 0 {
			return usageError{hint(fmt.Errorf("no scenario %q", only), "known are: %s", strings.Join(stormNames(), ", "))}
		}
		chosen = chosen[i : i+1]
	}
	var missed []error
	printf(a.stdout, "%s", stormLine("", "", "used", "refused", "calls/job", "doubled", "dead", "early"))
	for _, s := range chosen {
		rows, err := a.storm(ctx, s, stormContenders())
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		for i, r := range rows {
			title := ""
			if i == 0 {
				title = s.title
			}
			printf(a.stdout, "%s", r.line(title))
		}
		missed = append(missed, rows[0].misses(s))
	}
	return errors.Join(missed...)
}

// stormLine is one line of the table, printed as soon as its scenario has ended.
func stormLine(title, who, used, refused, calls, doubled, dead, early string) string {
	return strings.TrimRight(fmt.Sprintf("%-36s  %-10s  %6s  %7s  %9s  %7s  %5s  %5s",
		title, who, used, refused, calls, doubled, dead, early), " ") + "\n"
}

func (f figures) line(title string) string {
	used := "-"
	if f.used > 0 {
		used = percent(f.used)
	}
	return stormLine(title, f.who, used, percent(f.refused()), fmt.Sprintf("%.2f", f.callsPerJob()),
		thousands(f.Doubled), thousands(f.dead), thousands(f.Early))
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
