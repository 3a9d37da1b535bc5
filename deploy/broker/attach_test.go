package broker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"nightshift/deploy/broker"
)

func TestAttach(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	if _, err := broker.Attach(t.Context(), dir); !errors.Is(err, broker.ErrNotRunning) {
		t.Fatalf("Attach to nothing: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("Attach made the store")
	}
	start(t, dir)
	b, err := broker.Attach(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Owner() {
		t.Error("attached as owner")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestRaceHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	brokers := make([]*broker.Broker, 20)
	var wg sync.WaitGroup
	for i := range brokers {
		wg.Go(func() {
			b, err := broker.Start(t.Context(), broker.Config{Dir: dir, Sync: "1m"})
			if err != nil {
				t.Error(err)
				return
			}
			brokers[i] = b
			if err := b.Conn().Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	owners := 0
	for _, b := range brokers {
		if b == nil {
			continue
		}
		if b.Owner() {
			owners++
			defer b.Close()
			continue
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if owners != 1 {
		t.Errorf("%d owners, want 1", owners)
	}
}

func TestAttachedFollowsTheNextOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	stream(t, first)
	guest := start(t, dir)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	js := client(t, guest)
	for {
		// One attempt has a second: what goes out before the guest has seen that the first owner
		// left is lost with the connection, and no answer to it will come.
		once, done := context.WithTimeout(ctx, time.Second)
		_, err := js.Publish(once, "jobs.q", nil)
		done()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the guest did not find the new owner: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestCloseWhileReconnecting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner, guest := start(t, dir), start(t, dir)
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	for guest.Conn().IsConnected() {
		time.Sleep(time.Millisecond)
	}
	if guest.Health() == nil {
		t.Error("healthy without a server")
	}
	began := time.Now()
	if err := guest.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("Close took %v", d)
	}
}
