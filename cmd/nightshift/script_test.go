package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nightshift/consumer/provider/sim"
)

// TestScript runs the sessions of testdata/script. Each has a store of its own in $WORK/state
// and finds the sample files in $SAMPLES.
func TestScript(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "nightshift")); err != nil {
		t.Fatal(err)
	}
	samples, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv(asNightshift, "1")
			e.Vars = append(e.Vars, noSleepAtExit)
			e.Setenv("SAMPLES", samples)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			return os.MkdirAll(filepath.Join(e.WorkDir, ".tmp"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exitsCmd, "until": untilCmd, "ids": idsCmd, "gzip": gzipCmd, "sim": startSimulator, "called": calledCmd,
			"quirky": startQuirky, "freeport": freePort, "clean": cleanCmd, "repeat": repeatCmd,
			"forget": forgetCmd, "calling": callingCmd,
			"newer": newerCmd, "streams": streamsCmd,
		},
	})
}

// exits CODE COMMAND... runs a command that must end with that code. An error is one line, and
// perhaps a hint.
func exitsCmd(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
	words := ts.ReadFile("stderr")
	if strings.Contains(words, "goroutine ") || strings.Contains(words, "DATA RACE") {
		ts.Fatalf("a stack trace")
	}
	said := len(regexp.MustCompile(`(?m)^nightshift: `).FindAllString(words, -1))
	if (code == exitError || code == exitUsage) && args[1] == "nightshift" && args[2] != "check" && said != 1 {
		ts.Fatalf("%d error lines, want 1", said)
	}
}

// until PATTERN COMMAND... runs a command again and again until its output matches.
func untilCmd(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := ts.Exec(args[1], args[2:]...); err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("no output that matches %s", args[0])
}

// ids FILE ID... checks that the file holds one line of JSON for each id, in this order.
func idsCmd(ts *testscript.TestScript, _ bool, args []string) {
	var got []string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var l struct {
			ID string `json:"custom_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			ts.Fatalf("%s: %v", args[0], err)
		}
		got = append(got, l.ID)
	}
	if want := strings.Join(args[1:], " "); strings.Join(got, " ") != want {
		ts.Fatalf("%s: %v, want %s", args[0], got, want)
	}
}

// gzip FROM TO [BYTES] compresses a file and keeps so many bytes of it.
func gzipCmd(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, ts.ReadFile(args[0]))
	ts.Check(errors.Join(err, w.Close()))
	if len(args) > 2 {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		b.Truncate(n)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o600))
}

// repeat TEXT TIMES FILE appends a text to a file, so often.
func repeatCmd(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	text, err := strconv.Unquote(`"` + args[0] + `"`)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[2]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(strings.Repeat(text, n))
	ts.Check(errors.Join(err, f.Close()))
}

// sim NAME SPEC serves a simulated provider that outlives the commands; $NAME is its base URL.
func startSimulator(ts *testscript.TestScript, _ bool, args []string) {
	c, err := sim.Parse(args[1])
	ts.Check(err)
	serve(ts, args[0], sim.New(c))
}

func serve(ts *testscript.TestScript, name string, h http.Handler) {
	s := httptest.NewServer(h)
	ts.Defer(s.Close)
	ts.Setenv(name, s.URL+"/v1")
}

// called NAME N checks how many calls came to a simulated provider.
func calledCmd(ts *testscript.TestScript, _ bool, args []string) {
	res, err := http.Get(strings.TrimSuffix(ts.Getenv(args[0]), "/v1") + "/sim/stats")
	ts.Check(err)
	defer res.Body.Close()
	var s sim.Stats
	ts.Check(json.NewDecoder(res.Body).Decode(&s))
	if strconv.Itoa(s.Calls) != args[1] {
		ts.Fatalf("%d calls, want %s", s.Calls, args[1])
	}
}

// freeport NAME puts an address that nobody serves into $NAME.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// clean NAME... checks that the working directory holds these files only, hidden ones too, and
// what every script has.
func cleanCmd(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	for _, e := range entries {
		known := e.Name() == ".tmp" || e.Name() == "state"
		for _, name := range args {
			ok, err := filepath.Match(name, e.Name())
			ts.Check(err)
			known = known || ok
		}
		if !known {
			ts.Fatalf("left behind: %s", e.Name())
		}
	}
}

// quirky NAME serves a provider of another make. It answers every prompt with one marker and
// writes its replies in the way the prompt asks for.
func startQuirky(ts *testscript.TestScript, _ bool, args []string) {
	serve(ts, args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		prompt := string(body)
		reply := "{\r\n  \"id\": \"x\",\n\t\"choices\" : [ { \"index\": 0,\n \"message\": {\"role\": \"assistant\", " +
			"\"content\": \"ANSWER-MARKER \\u2028 two\\nlines\"},\n \"finish_reason\": \"stop\" } ],\n" +
			" \"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 4}\n}\n"
		if strings.Contains(prompt, "refuse") {
			w.WriteHeader(http.StatusBadRequest)
			reply = `{"error":{"message":"no: ` + "PROMPT-MARKER" + `","type":"invalid_request_error","code":null}}`
		}
		quirk(w, prompt, reply)
	}))
}

func quirk(w http.ResponseWriter, prompt, reply string) {
	switch {
	case strings.Contains(prompt, "chunked"):
		for i := range reply {
			_, _ = io.WriteString(w, reply[i:i+1])
			_ = http.NewResponseController(w).Flush()
		}
	case strings.Contains(prompt, "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, reply)
		_ = z.Close()
	case strings.Contains(prompt, "lower"):
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 fine\r\ncontent-type: text/plain; charset=latin1\r\nx-request-id: low\r\n"+
			"content-length: %d\r\nconnection: close\r\n\r\n%s", len(reply), reply)
	case strings.Contains(prompt, "until close"):
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\n\r\n%s", reply)
	default:
		_, _ = io.WriteString(w, reply)
	}
}
