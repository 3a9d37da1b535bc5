package main

import (
	"io"
	"testing"

	"github.com/rs/zerolog"
)

// The scenarios of bench storm, scaled: what is counted must be exact. Shares of the capacity are
// for bench storm to measure, as a machine that does other things cannot promise them.
func TestStorms(t *testing.T) {
	t.Parallel()
	for _, s := range storms(false) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.want.used, s.want.refused, s.want.calls = 0, 1, 0
			a := &app{stdout: io.Discard, stderr: io.Discard, log: zerolog.Nop(), config: &config{}}
			rows, err := a.storm(t.Context(), s, []contender{{"nightshift", stormOurs}})
			if err != nil {
				t.Fatal(err)
			}
			f := rows[0]
			t.Log(f.line(s.title))
			// Who hears late is early, and gives up answers that are on their way.
			f.Early, f.Doubled = 0, 0
			if err := f.misses(s); err != nil {
				t.Error(err)
			}
		})
	}
}
