package sim_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"nightshift/consumer/provider/sim"
)

func TestCountsAddUp(t *testing.T) {
	t.Parallel()
	l := serve(t, "capacity=3,latency=1ms,errors=0.1,resets=0.05,bad=0.1,half=0.05,seed=9")
	var wg sync.WaitGroup
	good := make([]int, 8)
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				// A client retries by itself what a kept connection lost; not so a POST.
				if r := l.ask(t, number(w*60+i), "hi"); r.status == 200 && r.err == nil {
					good[w]++
				}
			}
		})
	}
	wg.Wait()
	s := l.Stats()
	sum := 0
	for _, n := range good {
		sum += n
	}
	if s.Answered != sum || s.Calls != s.Answered+s.Refused+s.Failed || s.InFlight != 0 || s.MaxInFlight != 3 {
		t.Errorf("%d answers seen, %+v", sum, s)
	}
	calls := l.Calls()
	total := 0
	for n := range maps.Values(calls) {
		total += n
	}
	if len(calls) != 480 || s.DistinctIDs != 480 || total != s.Calls || s.BusySeconds <= 0 {
		t.Errorf("%d ids, %d calls, %+v", len(calls), total, s)
	}
}

func TestDoubled(t *testing.T) {
	t.Parallel()
	h := sim.New(sim.Config{})
	for range 3 {
		direct(t, h, "a", "hi")
	}
	direct(t, h, "b", "[[sim:500x1]]")
	direct(t, h, "b", "[[sim:500x1]]")
	if s := h.Stats(); s.Doubled != 1 || s.DistinctIDs != 2 || s.Calls != 5 || s.AnsweredTokens == 0 {
		t.Errorf("%+v", s)
	}
}

// Who has the whole answer may call again at once, even where one call is all that fits.
func TestCapacityIsFreeWithTheAnswer(t *testing.T) {
	t.Parallel()
	l := serve(t, "capacity=1,words=2000")
	for i := range 200 {
		if r := l.ask(t, number(i), "hi"); r.status != 200 {
			t.Fatalf("call %d: %+v", i, r)
		}
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	l := serve(t, "key=secret")
	if r := l.get(t, "/sim/calls"); strings.TrimSpace(r.body) != "{}" {
		t.Errorf("none: %+v", r)
	}
	l.ask(t, `odd "id"`, "hi")
	if r := l.post(t, "/sim/config", "", "rpm=5,nonsense=1"); r.status != 400 || !strings.Contains(r.body, "valid keys") {
		t.Errorf("%+v", r)
	}
	if r := l.post(t, "/sim/config", "", "words=2"); r.status != 200 {
		t.Errorf("%+v", r)
	}
	if r := l.get(t, "/sim/config"); r.body != "words=2\n" {
		t.Errorf("%+v", r)
	}
	for i := range 3000 {
		direct(t, l, number(i), "hi")
	}
	direct(t, l, number(0), "hi")
	var calls map[string]int
	if err := json.Unmarshal([]byte(l.get(t, "/sim/calls").body), &calls); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 3001 || calls[`odd "id"`] != 1 || calls[number(0)] != 2 || !maps.Equal(calls, l.Calls()) {
		t.Errorf("%d ids", len(calls))
	}
	var s sim.Stats
	if err := json.Unmarshal([]byte(l.get(t, "/sim/stats").body), &s); err != nil {
		t.Fatal(err)
	}
	if s.Calls != 3002 || s.Failed != 1 || s.Answered != 3001 || s.Doubled != 1 {
		t.Errorf("%+v", s)
	}
	l.post(t, "/sim/reset", "", "")
	if s := l.Stats(); s.Calls != 0 || len(l.Calls()) != 3001 {
		t.Errorf("%+v", s)
	}
	if r := l.get(t, "/sim/nothing"); r.status != 404 {
		t.Errorf("%+v", r)
	}
}

// Without an id of the client's, the body is the id.
func TestBodyIsTheID(t *testing.T) {
	t.Parallel()
	l := serve(t, "")
	for _, prompt := range []string{"a", "a", "b"} {
		l.ask(t, "", prompt)
	}
	if s := l.Stats(); s.DistinctIDs != 2 || s.Doubled != 1 {
		t.Errorf("%+v", s)
	}
}

// Reading a large body must not cut it, nor let its ids fall together.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	l := serve(t, "")
	big := strings.Repeat("y", 3<<20)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+chatPath,
		io.MultiReader(strings.NewReader(chat(big)[:50]), strings.NewReader(chat(big)[50:]))) // chunked
	r := l.do(req)
	if r.status != 200 || dig(t, r.body, "usage", "prompt_tokens").(float64) < 3<<18 {
		t.Errorf("%d %.200s", r.status, r.body)
	}
}
