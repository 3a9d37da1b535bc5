package sim_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/consumer/provider/sim"
)

func TestScripts(t *testing.T) {
	t.Parallel()
	for prompt, want := range map[string]struct {
		statuses []int // of the calls in turn; 0 for no reply
		text     string
	}{
		"[[sim:400]]":                     {[]int{400, 400}, "invalid_request_error"},
		"[[sim:404]]":                     {[]int{404, 404}, "model `gpt-x` does not exist"},
		"before [[sim:500x2]] after":      {[]int{500, 500, 200, 200}, "chat.completion"},
		"[[sim:500x1]] [[sim:429x2]]":     {[]int{500, 429, 429, 200}, "chat.completion"},
		"[[sim:500x1]][[sim:401]]":        {[]int{500, 401, 401}, "invalid_api_key"},
		"[[sim:hangx1]]":                  {[]int{0, 200}, "chat.completion"},
		"[[sim:reset]]":                   {[]int{0, 0}, ""},
		"[[sim:htmlx1]]":                  {[]int{502, 200}, "chat.completion"},
		"[[sim:filtered]]":                {[]int{200}, `"finish_reason":"content_filter"`},
		"[[sim:length]]":                  {[]int{200}, `"finish_reason":"length"`},
		"[[sim:ok]]":                      {[]int{200}, `"finish_reason":"stop"`},
		"[[sim:insufficient_quotax1]]":    {[]int{429, 200}, "chat.completion"},
		"[[sim:credit_balance]]":          {[]int{400}, "credit balance is too low"},
		"[[sim:context_length_exceeded]]": {[]int{400}, "maximum context length"},

		"[[sim:status=400,code=context_length_exceeded]]": {[]int{400}, "maximum context length"},
		"[[sim:code=slow_down,status=503,times=1]]":       {[]int{503, 200}, "chat.completion"},
		"[[sim:status=418,code=teapot,type=kettle]]":      {[]int{418}, `"type":"kettle","param":null,"code":"teapot"`},
		"[[sim:code=teapot]]":                             {[]int{400}, `"code":"teapot"`},
		"[[sim:200,code=server_error]]":                   {[]int{200}, `{"error":{`},
		"[[sim:gremlins]]":                                {[]int{400}, "Bad sim marker: unknown word"},
		"[[sim:500,colour=red]]":                          {[]int{400}, "Bad sim marker: unknown word"},
		"[[sim:500,latency=soon]]":                        {[]int{400}, "want a duration"},
		"[[sim:500":                                       {[]int{200}, "chat.completion"},
	} {
		h := sim.New(parse(t, "hang=1ms"))
		var last string
		for i, status := range want.statuses {
			r := direct(t, h, "a", prompt)
			if r.status != status {
				t.Errorf("%s: call %d: %d %s, want %d", prompt, i+1, r.status, r.body, status)
			}
			last = r.body
		}
		if !strings.Contains(last, want.text) {
			t.Errorf("%s: %s, want %s", prompt, last, want.text)
		}
	}
}

func TestScriptedRetryAfter(t *testing.T) {
	t.Parallel()
	h := sim.New(sim.Config{})
	if r := direct(t, h, "a", "[[sim:429x3,retry_after=1.5]]"); r.status != 429 || r.head.Get("Retry-After") != "2" {
		t.Errorf("%+v", r)
	}
}

func TestScriptedLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sim.New(parse(t, "latency=1s"))
		for prompt, want := range map[string]time.Duration{
			"[[sim:ok,latency=5s]]": 5 * time.Second, "[[sim:400,latency=2s]]": 2 * time.Second,
			"[[sim:400]]": 0, "[[sim:500]]": time.Second, "[[sim:ok,latency=0s]]": 0,
		} {
			start := time.Now()
			direct(t, h, prompt, prompt)
			if got := time.Since(start); got != want {
				t.Errorf("%s: %s, want %s", prompt, got, want)
			}
		}
	})
}

// A call that the limits refused does not use up the script.
func TestScriptsCountAdmittedCalls(t *testing.T) {
	t.Parallel()
	h := sim.New(parse(t, "steps=0@0s"))
	for range 3 {
		direct(t, h, "a", "[[sim:500x1]]")
	}
	h.Set(sim.Config{})
	if r := direct(t, h, "a", "[[sim:500x1]]"); r.status != 500 {
		t.Errorf("%+v", r)
	}
	if r := direct(t, h, "a", "[[sim:500x1]]"); r.status != 200 {
		t.Errorf("%+v", r)
	}
	if n := h.Calls()["a"]; n != 5 {
		t.Errorf("%d calls", n)
	}
}

func TestErrorInsideAStream(t *testing.T) {
	t.Parallel()
	l := serve(t, "")
	r := l.post(t, chatPath, "a", strings.Replace(chat("[[sim:200,code=server_error]]"), "{", `{"stream":true,`, 1))
	if r.status != 200 || !strings.HasPrefix(r.body, `data: {"error":`) {
		t.Errorf("%+v", r)
	}
}
