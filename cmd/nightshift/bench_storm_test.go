package main

import (
	"io"
	"testing"

	"github.com/rs/zerolog"
)

// The scenarios of bench storm, scaled. What is counted must be exact; shares of a second or two
// on a machine that does other things must be of the right order.
func TestStorms(t *testing.T) {
	t.Parallel()
	for _, s := range storms(false) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.want.used *= .5
			s.want.refused += .25 * min(1, s.want.refused*1000)
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
