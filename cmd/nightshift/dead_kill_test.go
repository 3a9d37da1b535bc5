package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshift/consumer"
	"nightshift/deploy/broker"
	"nightshift/policy"
	"nightshift/producer"
)

// fillLetters writes n letters with their markers into a new store, as workers would have.
func fillLetters(t *testing.T, dir string, n int) {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: dir, Sync: "1s"})
	mustBe(t, err)
	js, err := jetstream.New(b.Conn())
	mustBe(t, err)
	_, err = producer.New(t.Context(), js, producer.Config{})
	mustBe(t, err)
	_, err = consumer.OpenStore(t.Context(), js, 1)
	mustBe(t, err)
	for from := 0; from < n; from += 500 {
		var letters, markers []*nats.Msg
		for i := from; i < from+500; i++ {
			key := fmt.Sprintf("p-%d", i)
			text, err := json.Marshal(consumer.DeadLetter{
				Key: key, CustomID: key, Queue: defaultQueue, Batch: "night", Class: policy.Timeout, Last: time.Now(),
			})
			mustBe(t, err)
			letters = append(letters, &nats.Msg{
				Subject: "dead.night.timeout." + key, Header: nats.Header{"Nightshift-Dead": {string(text)}},
				Data: fmt.Appendf(nil, `{"custom_id":%q,"body":{"messages":[{"role":"user","content":"hi"}]}}`, key),
			})
			markers = append(markers, &nats.Msg{
				Subject: "results.night." + key,
				Header:  nats.Header{"Nightshift-Ending": {"dead"}, "Nightshift-Meta": {`{"call":"x","class":"timeout"}`}},
			})
		}
		mustBe(t, producer.PublishAtomic(t.Context(), b.Conn(), letters))
		mustBe(t, producer.PublishAtomic(t.Context(), b.Conn(), markers))
	}
	mustBe(t, b.Close())
}

func mustBe(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A replay that is killed with kill -9 again and again, while a worker calls what it sends: every
// job ends once and is called once.
func TestReplayKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	letters, kills := 8_000, 8
	if testing.Short() {
		letters, kills = 4_000, 5
	}
	dir := t.TempDir()
	p := simulate(t, "")
	fillLetters(t, filepath.Join(dir, "store"), letters)
	work := start(t, dir, "work", "--queue", defaultQueue, "--base-url", p.base, "--store", "store", "--sync", "1s")
	work.while("the broker", func() bool { return brokerOf(t, filepath.Join(dir, "store"), work) != "" })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	replay := []string{"dead", "replay", "--all", "--yes", "--store", "store", "--rate"}
	for range kills {
		before := p.stats().DistinctIDs
		c := start(t, dir, append(replay, "3000")...)
		c.while("the first copies", func() bool { return p.stats().DistinctIDs > before })
		time.Sleep(time.Duration(dice.IntN(60)) * time.Millisecond) // anywhere between two steps
		if c.ended() {
			t.Fatalf("it ended by itself:\n%s", c.stderr)
		}
		c.kill()
	}
	t.Logf("%d of %d letters sent after %d kills", p.stats().DistinctIDs, letters, kills)
	start(t, dir, append(replay, "0")...).must(exitOK)
	until(t, "all calls", func() bool { return p.stats().DistinctIDs == letters })
	until(t, "no job left", func() bool {
		c := start(t, dir, "dead", "stats", "--batch", "night", "--store", "store")
		return c.code() == exitOK && strings.Contains(c.stderr.String(), "no dead letters")
	})
	if ids, extra := p.more(); extra > 0 {
		t.Errorf("%d calls too many: %v", extra, ids)
	}
	c := start(t, dir, "results", "night", "--store", "store")
	c.must(exitOK)
	if n := strings.Count(c.stdout.String(), `"status_code":200`); n != letters {
		t.Errorf("%d answers of %d jobs", n, letters)
	}
}
