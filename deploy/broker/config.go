package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

const (
	serverName     = "nightshift"
	defaultPayload = 8 << 20 // the server warns above 8 MiB
	syncAlways     = "always"

	// A connection whose unread bytes pass maxPending is cut off as a slow consumer. 128 jobs of
	// 8 MiB pulled at once are ordinary here; the server's default of 64 MiB holds eight.
	maxPending    = 1 << 30
	writeDeadline = time.Minute

	// A publish beyond maxIngest bytes waiting for the disk is answered "too many requests". The
	// default of 128 MiB is less than one atomic batch of 1,000 long prompts.
	maxIngest = 512 << 20
)

// Config says how the broker of this machine runs.
type Config struct {
	// Dir is the store. It is made, readable by this user only, if it is missing.
	Dir string
	// Sync says how often the store is fsynced: "always", which is the default and survives a
	// power failure, or a duration such as "1s", up to which a power failure may lose. A killed
	// process loses nothing either way.
	Sync string
	// MaxPayload is the largest message in bytes, headers included; 8 MiB by default.
	MaxPayload int32
	// Log gets the warnings and errors of the server and of the connection, and never the
	// contents of a message. The zero value is silent.
	Log zerolog.Logger
}

// interval is the Sync of c as a duration; zero means always.
func (c Config) interval() (time.Duration, error) {
	if c.Sync == "" || c.Sync == syncAlways {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Sync)
	if err == nil && d <= 0 {
		err = errors.New("must be above zero")
	}
	if err != nil {
		return 0, fmt.Errorf("read sync %q: %w: write %q or a duration such as \"1s\"",
			c.Sync, err, syncAlways)
	}
	return d, nil
}

// options are the server's for a store of at most maxStore bytes.
func (c Config) options(token string, maxStore int64) (*server.Options, error) {
	every, err := c.interval()
	if err != nil {
		return nil, err
	}
	payload := c.MaxPayload
	if payload == 0 {
		payload = defaultPayload
	}
	if payload < 0 {
		return nil, fmt.Errorf("read max payload %d: must be above zero", payload)
	}
	return &server.Options{
		ServerName:             serverName,
		Host:                   "127.0.0.1",
		Port:                   server.RANDOM_PORT,
		Authorization:          token,
		NoSigs:                 true,
		NoLog:                  true,
		DisableJetStreamBanner: true,
		MaxPayload:             payload,
		MaxPending:             maxPending,
		WriteDeadline:          writeDeadline,
		JetStream:              true,
		StoreDir:               c.Dir,
		JetStreamMaxStore:      maxStore,
		JetStreamMaxMemory:     64 << 20,
		StreamMaxBufferedSize:  maxIngest,
		SyncAlways:             every == 0,
		SyncInterval:           every,
	}, nil
}
