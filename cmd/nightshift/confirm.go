package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// destroying registers the flags of commands that take something away.
func (f *flags) destroying(fs *pflag.FlagSet) {
	fs.BoolVar(&f.dryRun, "dry-run", false, "only say what would be done")
	fs.BoolVar(&f.yes, "yes", false, "do it without asking, also to more than one")
}

// confirmed refuses to touch more than one of something without --yes.
func (a *app) confirmed(n int, what string) error {
	if a.flags.yes || n <= 1 {
		return nil
	}
	return usageError{hint(fmt.Errorf("this touches %s %s, nothing was done", thousands(n), what),
		"--dry-run only says what would be done, --yes does it")}
}

// typed asks on a terminal for a word to be typed, and says whether it was. Where there is no
// terminal nobody can be asked.
func (a *app) typed(word string) bool {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false
	}
	printf(a.stderr, "type %s to go on: ", word)
	line, err := bufio.NewReader(in).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == word
}
