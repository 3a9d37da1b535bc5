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
			s.want.used, s.want.refused = 0, 1
			if s.want.calls > 1 {
				s.want.calls += .05
			}
			a := &app{stdout: io.Discard, stderr: io.Discard, log: zerolog.Nop(), config: &config{}}
			rows, err := a.storm(t.Context(), s, []contender{{"nightshift", stormOurs}})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(rows[0].line(s.title))
			if err := rows[0].misses(s); err != nil {
				t.Error(err)
			}
		})
	}
}
