package sim_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"nightshift/consumer/provider/sim"
)

// nowhere is a reply that costs nothing, so that the benchmark is the handler's work alone.
type nowhere struct{ head http.Header }

func (n nowhere) Header() http.Header         { return n.head }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	for _, spec := range []string{"", "rpm=100000000,tpm=100000000000,capacity=64", "errors=0.1,bad=0.01,sigma=0.5", "bad=1"} {
		b.Run(strings.ReplaceAll("spec:"+spec, ",", ";"), func(b *testing.B) {
			c, err := sim.Parse(spec)
			if err != nil {
				b.Fatal(err)
			}
			h := sim.New(c)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := nowhere{http.Header{}}
				body := chat(strings.Repeat("Tell me about the sea. ", 16))
				r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
				for n := 0; pb.Next(); n++ {
					r.Header["X-Client-Request-Id"] = []string{strconv.Itoa(n % 100_000)}
					r.Body = io.NopCloser(strings.NewReader(body))
					clear(w.head)
					h.ServeHTTP(w, r)
				}
			})
		})
	}
}

// BenchmarkServer is the same over TCP, with the client's work in it.
func BenchmarkServer(b *testing.B) {
	s := httptest.NewServer(sim.New(sim.Config{}))
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	body := chat("hello")
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(s.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}

func chat(prompt string) string {
	return `{"model":"gpt-x","messages":[{"role":"user","content":` + strconv.Quote(prompt) + `}]}`
}
