package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const (
	// patience is how long an owner may be out of reach before we say so: it may be about to
	// write its address, or be leaving.
	patience = 5 * time.Second
	// recovery is how long an owner may take to read its store after a crash.
	recovery = 5 * time.Minute
	again    = 10 * time.Millisecond
)

// join connects to the owner of the store. First, and every time it fails, it calls own, which
// returns errLocked as long as there is one.
func join(
	ctx context.Context, dir string, log zerolog.Logger, own func() (*Broker, error),
) (*Broker, error) {
	begun := time.Now()
	alive, wait := begun, again
	for {
		b, err := own()
		if !errors.Is(err, errLocked) {
			return b, err
		}
		addr, err := readAddress(dir)
		switch {
		case err != nil:
		case addr.URL != "":
			if b, err = dial(ctx, dir, addr, log); err == nil {
				return b, nil
			}
		default:
			err = errors.New("it is still reading its store")
			if time.Since(begun) < recovery {
				alive = time.Now()
			}
		}
		if time.Since(alive) > patience {
			return nil, stuck(dir, addr, err)
		}
		if !sleep(ctx, wait) {
			return nil, fmt.Errorf("connect to broker on %s: %w", dir, ctx.Err())
		}
		wait = min(2*wait, 20*again)
	}
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// stuck is for an owner that holds the lock and cannot be reached.
func stuck(dir string, a address, err error) error {
	who := "another process"
	if a.PID != 0 {
		who = fmt.Sprintf("process %d", a.PID)
	}
	return fmt.Errorf("connect to broker on %s: %w: %s holds the store but does not answer: "+
		"stop it, or choose another directory with --store", dir, err, who)
}

// dial connects to the owner of the store over loopback. When that owner leaves and another
// comes, the connection finds the new one: address and token are read anew for each attempt.
func dial(ctx context.Context, dir string, a address, log zerolog.Logger) (*Broker, error) {
	dialCtx, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	// ctx governs the first connection only, Close all that follow.
	first := context.AfterFunc(ctx, hangUp)
	opts := append(connOptions(log),
		nats.SetCustomDialer(dialer(func(string, string) (net.Conn, error) {
			return dialOwner(dialCtx, dir)
		})),
		nats.TokenHandler(func() string {
			now, err := readAddress(dir)
			if err != nil {
				return ""
			}
			return now.Token
		}))
	conn, err := nats.Connect(a.URL, opts...)
	first()
	if err != nil {
		hangUp()
		return nil, err
	}
	return &Broker{dir: dir, url: a.URL, maxStore: a.MaxStore, always: a.SyncAlways, conn: conn, hangUp: hangUp}, nil
}

// dialOwner dials only while the lock is held. The port of a dead owner may be anybody's by now,
// and would be told a token and a prompt.
func dialOwner(ctx context.Context, dir string) (net.Conn, error) {
	if err := probe(dir); !errors.Is(err, errLocked) {
		return nil, errors.Join(ErrNotRunning, err)
	}
	a, err := readAddress(dir)
	if err != nil {
		return nil, err
	}
	u, err := parseURL(a.URL)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(ctx, "tcp", u.Host)
}

type dialer func(network, address string) (net.Conn, error)

// Dial calls f.
func (f dialer) Dial(network, address string) (net.Conn, error) { return f(network, address) }
