package sim

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// admin lets tests in other processes look and meddle. It needs no key and knows no faults.
func (h *Handler) admin(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /sim/stats":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.Stats())
	case "GET /sim/calls":
		h.writeCalls(w)
	case "GET /sim/config":
		_, _ = io.WriteString(w, h.plan.Load().String()+"\n")
	case "POST /sim/config":
		h.configure(w, r)
	case "POST /sim/reset":
		h.ResetStats()
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "know GET stats, calls, config; POST config, reset", http.StatusNotFound)
	}
}

func (h *Handler) configure(w http.ResponseWriter, r *http.Request) {
	spec, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	c, err := Parse(string(spec))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.Set(c)
	_, _ = io.WriteString(w, c.String()+"\n")
}

// writeCalls writes id by id, so that a million of them need no second copy as JSON.
func (h *Handler) writeCalls(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 32<<10)
	sep := "{"
	h.jobs.each(func(id string, calls int) {
		key, _ := json.Marshal(id) // a string always marshals
		_, _ = out.WriteString(sep)
		_, _ = out.Write(key)
		_, _ = out.WriteString(":" + strconv.Itoa(calls))
		sep = ",\n"
	})
	if sep == "{" {
		_, _ = out.WriteString("{")
	}
	_, _ = out.WriteString("}\n")
	_ = out.Flush()
}
