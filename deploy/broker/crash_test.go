package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nightshift/deploy/broker"
)

// The test binary runs itself again with these to be a process that can be killed.
const (
	childDir  = "NIGHTSHIFT_TEST_STORE"
	childDoes = "NIGHTSHIFT_TEST_DOES" // "publish", "insist" or "start"
)

// child starts a broker, says on stdout whether it owns it and how many messages were
// acknowledged, and goes on until its stdin ends or it is killed.
func child(dir, does string) int {
	ctx := context.Background()
	b, err := broker.Start(ctx, broker.Config{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	defer b.Close()
	fmt.Println("owner", b.Owner())
	switch does {
	case "publish":
		fmt.Println("error", publish(ctx, b))
		return 1
	case "insist":
		fmt.Println("error", insist(ctx, b))
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func publish(ctx context.Context, b *broker.Broker) error {
	js, err := jetstream.New(b.Conn(), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		return err
	}
	if err := makeStream(ctx, js); err != nil {
		return err
	}
	for n := 1; ; n++ {
		if _, err := js.Publish(ctx, "jobs.q", []byte(strconv.Itoa(n))); err != nil {
			return err
		}
		fmt.Println("stored", n)
	}
}

// insist publishes like publish, but tries each message until it is stored.
func insist(ctx context.Context, b *broker.Broker) error {
	signal.Ignore(syscall.Signal(25)) // SIGXFSZ: the error of the write is what a full disk gives
	js, err := jetstream.New(b.Conn())
	if err != nil {
		return err
	}
	if err := makeStream(ctx, js); err != nil {
		return err
	}
	body := make([]byte, 64<<10)
	for n := 1; ; n++ {
		for tries := 1; ; tries++ {
			once, cancel := context.WithTimeout(ctx, time.Second)
			_, err := js.Publish(once, "jobs.q", strconv.AppendInt(body[:0], int64(n), 10)[:len(body)])
			cancel()
			if err == nil {
				break
			}
			fmt.Println("refused", n)
			if tries == 30 {
				return err
			}
		}
		fmt.Println("stored", n)
	}
}

type process struct {
	*exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

func spawn(t *testing.T, dir, does string) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childDoes+"="+does)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return process{Cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
}

// line waits for the next line that begins with the word and returns the rest of it.
func (p process) line(t *testing.T, word string) string {
	t.Helper()
	for p.lines.Scan() {
		got, rest, _ := strings.Cut(p.lines.Text(), " ")
		if got == word {
			return rest
		}
		if got == "error" {
			t.Fatal(rest)
		}
	}
	t.Fatalf("process ended without %q", word)
	return ""
}

func TestKilledOwnerLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := spawn(t, dir, "publish")
	for range 50 {
		p.line(t, "stored")
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	stored := 50
	for p.lines.Scan() {
		if _, err := fmt.Sscanf(p.lines.Text(), "stored %d", &stored); err != nil {
			t.Fatal(err)
		}
	}
	_ = p.Wait()
	before := address(t, dir)
	if _, err := broker.Attach(t.Context(), dir); err == nil {
		t.Error("attached to a dead owner's address")
	}
	began := time.Now()
	b := start(t, dir)
	t.Logf("restart after kill with %d stored: %v", stored, time.Since(began))
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("restart took %v", d)
	}
	if !b.Owner() || address(t, dir).Token == before.Token {
		t.Errorf("owner %v; is the token new: %v", b.Owner(), address(t, dir).Token != before.Token)
	}
	// One more may have been stored whose acknowledgement the process did not live to print.
	if n := int(count(t, b)); n != stored && n != stored+1 {
		t.Errorf("%d messages after kill, %d were acknowledged", n, stored)
	}
}

func TestGuestSurvivesKilledOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := spawn(t, dir, "start")
	if p.line(t, "owner") != "true" {
		t.Fatal("the child does not own the store")
	}
	guest := start(t, dir)
	if guest.Owner() {
		t.Fatal("two owners")
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	next := start(t, dir)
	if !next.Owner() {
		t.Error("nobody took over")
	}
	for end := time.Now().Add(time.Minute); guest.Conn().Flush() != nil; {
		if time.Now().After(end) {
			t.Fatal("the guest did not find the new owner")
		}
	}
}

func TestProcessesRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all [5]process
	for i := range all {
		all[i] = spawn(t, dir, "start")
	}
	owners := 0
	for _, p := range all {
		if p.line(t, "owner") == "true" {
			owners++
		}
	}
	if owners != 1 {
		t.Errorf("%d owners, want 1", owners)
	}
	for _, p := range all {
		_ = p.stdin.Close()
	}
	for _, p := range all {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
}
