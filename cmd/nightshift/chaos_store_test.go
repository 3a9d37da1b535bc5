package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// brokerOf is the address of the broker on a store once this process runs it and it takes
// connections, and empty before.
func brokerOf(t *testing.T, store string, c *child) string {
	t.Helper()
	var a struct {
		PID int    `json:"pid"`
		URL string `json:"url"`
	}
	data, err := os.ReadFile(filepath.Join(store, "broker.json"))
	if err != nil || json.Unmarshal(data, &a) != nil || a.PID != c.cmd.Process.Pid || a.URL == "" {
		return ""
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.URL, "nats://"))
	if err != nil {
		return ""
	}
	_ = conn.Close()
	return a.URL
}
