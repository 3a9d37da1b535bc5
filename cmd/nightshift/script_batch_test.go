package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

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
