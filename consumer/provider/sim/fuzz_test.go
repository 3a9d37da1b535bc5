package sim_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshift/consumer/provider/sim"
)

// Whatever the body is, the answer is JSON: an answer where the body is an object, else a 400.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"model":"m\"","messages":[{"role":"user","content":"hi \\"}],"stream_options":{"x":[1]}}`), "m")
	f.Add([]byte(`{"input":["a",["b"],3],"max_tokens":1e3,"n":-1.5,"stream":false}`), "e")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		if bytes.Contains(body, []byte("[[sim:")) || bytes.Contains(body, []byte("stream")) {
			t.Skip("what these do has its own tests")
		}
		paths := []string{chatPath, "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"}
		url := paths[len(path)%len(paths)]
		var object map[string]json.RawMessage
		want := 400
		if json.Unmarshal(body, &object) == nil && object != nil {
			want = 200
		}
		w := httptest.NewRecorder()
		sim.New(sim.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, url, bytes.NewReader(body)))
		if w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s, want %d", w.Code, w.Body, want)
		}
		w = httptest.NewRecorder()
		sim.New(parse(t, "missing=1")).ServeHTTP(w, httptest.NewRequest(http.MethodPost, url, bytes.NewReader(body)))
		if want == 200 && w.Code != 404 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("missing: %d %s", w.Code, w.Body)
		}
	})
}

func FuzzMarker(f *testing.F) {
	f.Add("500x2")
	f.Add("status=404,code=model_not_found,retry_after=1.5,latency=0s,type=x,times=3")
	f.Fuzz(func(t *testing.T, marker string) {
		if strings.Contains(marker, "latency") || strings.Contains(marker, `"`) {
			t.Skip("would wait, or is no JSON")
		}
		body, _ := json.Marshal(map[string]any{"model": `a"b`, "prompt": "[[sim:" + marker + "]]"})
		h := sim.New(parse(t, "hang=1us,trickle=1us"))
		w := httptest.NewRecorder()
		defer func() {
			aborted(recover())
			if s := h.Stats(); s.InFlight != 0 || s.Answered+s.Failed != 1 {
				t.Fatalf("%+v", s)
			}
		}()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/completions", bytes.NewReader(body)))
		isHTML, isGarbage := strings.Contains(marker, "html"), strings.Contains(marker, "garbage")
		if !isHTML && !isGarbage && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
