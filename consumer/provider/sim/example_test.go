package sim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"nightshift/consumer/provider/sim"
)

func ExampleHandler() {
	c, err := sim.Parse("rpm=60,burst=2")
	if err != nil {
		fmt.Println(err)
		return
	}
	h := sim.New(c)
	for range 3 {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	fmt.Println(h.Stats().Refused, "refused")
	// Output:
	// 200 ""
	// 200 ""
	// 429 "1"
	// 1 refused
}
