package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"nightshift/consumer/provider/sim"
	"nightshift/deploy/broker"
	"nightshift/producer"
)

// forget BATCH takes the jobs of a batch on queue default out of the store, behind everybody's back.
func forgetCmd(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	b, err := broker.Start(ctx, broker.Config{Dir: filepath.Join(ts.Getenv("XDG_STATE_HOME"), "nightshift"), Sync: "1m"})
	ts.Check(err)
	js, err := jetstream.New(b.Conn())
	ts.Check(err)
	jobs, err := js.Stream(ctx, producer.Stream)
	ts.Check(err)
	err = jobs.Purge(ctx, jetstream.WithPurgeSubject(producer.Subject(defaultQueue, args[0])))
	ts.Check(errors.Join(err, b.Close()))
}

// calling NAME N waits until so many calls came to a simulated provider. It asks no broker: a
// command that looks may own it for an instant, while a worker starts.
func callingCmd(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(strings.TrimSuffix(ts.Getenv(args[0]), "/v1") + "/sim/stats")
		ts.Check(err)
		var s sim.Stats
		ts.Check(errors.Join(json.NewDecoder(res.Body).Decode(&s), res.Body.Close()))
		if s.Calls >= want {
			return
		}
	}
	ts.Fatalf("not %d calls", want)
}
