package broker

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// addressFile is where the owner of a store says how to reach it. What it says holds only while
// the lock is held: a killed owner leaves it behind.
const addressFile = "broker.json"

type address struct {
	PID int `json:"pid"`
	// URL is empty while the server reads its store, which takes seconds after a crash.
	URL      string `json:"url,omitempty"`
	Token    string `json:"token,omitempty"`
	MaxStore int64  `json:"max_store,omitempty"`
	// SyncAlways says that the server fsyncs every write.
	SyncAlways bool `json:"sync_always,omitempty"`
}

func (a address) write(dir string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode %s: %w", addressFile, err)
	}
	return replaceFile(dir, addressFile, append(data, '\n'))
}

func readAddress(dir string) (address, error) {
	var a address
	data, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return a, err
	}
	// The decoder's error could quote the token.
	if json.Unmarshal(data, &a) != nil {
		return address{}, fmt.Errorf("decode %s: not an address", addressFile)
	}
	return a, nil
}

// newToken returns 256 random bits. crypto/rand does not fail.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// replaceFile writes a file only this user can read, so that a reader sees the old contents or
// the new, never a part. Only who holds the lock calls it: the temporary name is always the same.
func replaceFile(dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	if err := os.Remove(path + ".tmp"); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
