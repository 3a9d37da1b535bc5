package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"nightshift/deploy/broker"
	"nightshift/producer"
)

// newer NAME FORMAT runs a NATS server whose stream of jobs says that it is in that format; $NAME is
// its address.
func newerCmd(ts *testscript.TestScript, _ bool, args []string) {
	ctx, dir := context.Background(), ts.MkAbs("server")
	b, err := broker.Start(ctx, broker.Config{Dir: dir, Sync: "1m"})
	ts.Check(err)
	ts.Defer(func() { _ = b.Close() })
	js, err := jetstream.New(b.Conn())
	ts.Check(err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: producer.Stream, Subjects: []string{"jobs.>"}, Metadata: map[string]string{"nightshift.format": args[1]},
	})
	data, rerr := os.ReadFile(filepath.Join(dir, "broker.json"))
	var a struct {
		Token string `json:"token"`
	}
	ts.Check(errors.Join(err, rerr, json.Unmarshal(data, &a)))
	ts.Setenv(args[0], strings.Replace(b.URL(), "://", "://"+a.Token+"@", 1))
}

// streams NAME STREAM... checks which streams that server has.
func streamsCmd(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	b, err := broker.Connect(ctx, broker.Remote{URL: ts.Getenv(args[0])})
	ts.Check(err)
	defer func() { _ = b.Close() }()
	js, err := jetstream.New(b.Conn())
	ts.Check(err)
	list := js.StreamNames(ctx)
	var got []string
	for name := range list.Name() {
		got = append(got, name)
	}
	ts.Check(list.Err())
	if want := strings.Join(args[1:], " "); strings.Join(got, " ") != want {
		ts.Fatalf("streams %v, want %s", got, want)
	}
}
