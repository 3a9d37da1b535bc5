package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests; none of them needs it on a machine that is not
// overrun.
const patience = 2 * time.Minute

// child is the real nightshift in a process of its own.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *record
	done           chan struct{} // closed when it has ended
}

// record keeps what a process writes, to be read while it runs.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

// String is all that was written so far.
func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// start runs nightshift with args in the directory dir. It is killed when the test ends.
func start(t *testing.T, dir string, args ...string) *child {
	t.Helper()
	return startWith(t, dir, nil, args...)
}

// startWith is start with more in the environment.
func startWith(t *testing.T, dir string, env []string, args ...string) *child {
	t.Helper()
	c := &child{t: t, stdout: &record{}, stderr: &record{}, done: make(chan struct{})}
	c.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	c.cmd.Dir, c.cmd.Env = dir, append(childEnv(), env...)
	c.cmd.Stdout, c.cmd.Stderr = c.stdout, c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		_ = c.cmd.Wait() // code tells
	}()
	t.Cleanup(func() {
		c.kill()
		if strings.Contains(c.stderr.String(), "DATA RACE") {
			t.Errorf("nightshift %s:\n%s", strings.Join(args, " "), c.stderr)
		}
	})
	return c
}

// childEnv is ours without what would configure nightshift, and without any provider's key.
func childEnv() []string {
	env := []string{asNightshift + "=1", noSleepAtExit}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "NIGHTSHIFT_") && !strings.HasPrefix(name, "OPENAI_") && name != "XDG_STATE_HOME" {
			env = append(env, v)
		}
	}
	return env
}

// kill is kill -9, and waits until the process is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
}

// interrupt is Ctrl-C.
func (c *child) interrupt() {
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Error(err)
	}
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// code waits for the end and returns the exit code, or -1 after a signal.
func (c *child) code() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		<-c.done
		c.t.Fatalf("nightshift %s did not end:\n%.9000s", strings.Join(c.cmd.Args[1:], " "), c.stderr)
	}
	return c.cmd.ProcessState.ExitCode()
}

// must waits for the end and wants this exit code.
func (c *child) must(code int) {
	c.t.Helper()
	if got := c.code(); got != code {
		c.t.Fatalf("nightshift %s: exit code %d, want %d:\n%.9000s", strings.Join(c.cmd.Args[1:], " "), got, code, c.stderr)
	}
}

// until polls cond and fails the test if it does not come true in time. Most conds are a call of
// the simulator: more often than this, they are what keeps a small machine busy.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// while is until for what this process must bring about: its end ends the wait too. It says
// whether cond came true.
func (c *child) while(what string, cond func() bool) bool {
	c.t.Helper()
	met := false
	until(c.t, what, func() bool {
		met = cond()
		return met || c.ended()
	})
	return met
}
