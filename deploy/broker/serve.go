package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// serve starts the server and waits until it has read its store.
func serve(c Config, token string, maxStore int64) (*server.Server, error) {
	opts, err := c.options(token, maxStore)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	log := &serverLog{log: c.Log.Sample(zerolog.LevelSampler{
		ErrorSampler: &zerolog.BurstSampler{Burst: 5, Period: time.Minute}, // a full disk is one for every write
	})}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if err := started(c.Dir, srv, log); err != nil {
		shutdown(srv)
		return nil, err
	}
	return srv, nil
}

func shutdown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

func started(dir string, srv *server.Server, log *serverLog) error {
	if srv.Addr() == nil || !srv.JetStreamEnabled() {
		return fmt.Errorf("start broker on %s: %s", dir, reason(&log.fatal))
	}
	lost, err := unreadable(dir, srv)
	if err != nil {
		return fmt.Errorf("start broker on %s: %w", dir, err)
	}
	if len(lost) > 0 {
		return fmt.Errorf("start broker on %s: cannot read stream %s: %s: its files are as they "+
			"were; restore them from a copy, or start anew with another --store",
			dir, strings.Join(lost, ", "), reason(&log.warns))
	}
	return nil
}

func streamsDir(dir string) string {
	return filepath.Join(dir, "jetstream", server.DEFAULT_GLOBAL_ACCOUNT, "streams")
}

// reserved adds up the limits of the streams in the store. A server whose own limit is below
// that, because the disk has less room today, would refuse to make or change any stream.
func reserved(dir string) int64 {
	var sum int64
	metas, _ := filepath.Glob(filepath.Join(streamsDir(dir), "*", server.JetStreamMetaFile))
	for _, path := range metas {
		var stream struct {
			MaxBytes int64 `json:"max_bytes"`
		}
		// One that cannot be read the server complains of.
		data, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(data, &stream) == nil {
			sum += max(stream.MaxBytes, 0)
		}
	}
	return sum
}

// unreadable names the streams that have messages on disk and that the server did not bring
// back. It only warns of them and would let a new stream be made in their place.
func unreadable(dir string, srv *server.Server) ([]string, error) {
	streams := streamsDir(dir)
	entries, err := os.ReadDir(streams)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := recovered(srv)
	if err != nil {
		return nil, err
	}
	var lost []string
	for _, e := range entries {
		name := e.Name()
		deleted := strings.HasPrefix(name, ".")
		if !deleted && !slices.Contains(known, name) && hasMessages(filepath.Join(streams, name)) {
			lost = append(lost, name)
		}
	}
	return lost, nil
}

// recovered names the streams the server serves.
func recovered(srv *server.Server) ([]string, error) {
	info, err := srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// hasMessages reports whether a stream directory holds any. One without is left by a process
// killed while it made the stream.
func hasMessages(stream string) bool {
	blocks, _ := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	return slices.ContainsFunc(blocks, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	})
}
