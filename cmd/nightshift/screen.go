package main

import (
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// screen is standard error. While a progress bar moves on it, what is written appears above
// the bar.
type screen struct {
	out io.Writer
	mu  sync.Mutex
	bar io.Writer // nil without a bar
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		if n, err := s.bar.Write(b); err == nil {
			return n, nil
		}
	}
	return s.out.Write(b)
}

func (s *screen) setBar(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar = w
}

// isTerminal says whether w is a terminal, where a bar may move and colours may show.
func isTerminal(w io.Writer) bool {
	if s, ok := w.(*screen); ok {
		w = s.out
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is the width that text is folded to: terminals are wider, but eyes are not.
const columns = 80

// fold breaks text between words so that its lines, each indented by so many columns, fit the
// screen. The first line follows what stands there already.
func fold(text string, indent int) string {
	var b strings.Builder
	at := indent
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case at+1+n > columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// foldHelp makes the texts of a command and of all below it fit the screen. Lines that begin with
// a space are tables, and stay as they are.
func foldHelp(cmd *cobra.Command) {
	var parts []string
	for part := range strings.SplitSeq(cmd.Long, "\n\n") {
		if !strings.HasPrefix(part, " ") && !strings.Contains(part, "\n ") {
			part = fold(part, 0)
		}
		parts = append(parts, part)
	}
	cmd.Long = strings.Join(parts, "\n\n")
	for _, sub := range cmd.Commands() {
		foldHelp(sub)
	}
}
