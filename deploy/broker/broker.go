package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// ErrNotRunning means that no broker runs on the store.
var ErrNotRunning = errors.New("no broker is running")

// Broker is a connection to NATS and, where it is the owner, the server behind it.
type Broker struct {
	dir, url string
	maxStore int64
	always   bool // the server fsyncs every write, as far as we know
	conn     *nats.Conn
	hangUp   context.CancelFunc // ends a dial in progress
	lock     *os.File           // only of the owner

	// Only of the owner: its server, which mend may exchange, and what it is told and started with.
	mu     sync.Mutex
	srv    *server.Server
	token  string
	config Config
	mends  sync.WaitGroup

	closing  sync.Once
	closeErr error
}

// Start starts the broker on its store, or connects to the one that already runs there. Reading
// a store takes about a second for each million messages and does not end early with ctx.
func Start(ctx context.Context, c Config) (*Broker, error) {
	if _, err := c.options("", 0); err != nil {
		return nil, err
	}
	dir, err := openDir(c.Dir)
	if err != nil {
		return nil, err
	}
	c.Dir = dir
	return join(ctx, dir, c.Log, func() (*Broker, error) {
		f, err := lockDir(dir, os.O_RDWR|os.O_CREATE, true)
		if err != nil {
			return nil, err
		}
		return own(ctx, c, f)
	})
}

// Attach connects to the running broker of a store. The error is ErrNotRunning if there is none.
func Attach(ctx context.Context, dir string) (*Broker, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := checkVersion(dir); err != nil {
		return nil, err
	}
	return join(ctx, dir, zerolog.Logger{}, func() (*Broker, error) {
		if err := probe(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("attach to %s: %w", dir, ErrNotRunning)
	})
}

// lockDir takes the lock of the store. Only Start creates its file.
func lockDir(dir string, flag int, alone bool) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f, alone); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// probe returns errLocked while a broker runs on the store, and nil if none does. It shares the
// lock with other probes; to a Start it looks for a moment like an owner, so Start asks again.
func probe(dir string) error {
	f, err := lockDir(dir, os.O_RDWR, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// own makes this process the owner of the store, whose lock it holds.
func own(ctx context.Context, c Config, f *os.File) (*Broker, error) {
	b := &Broker{dir: c.Dir, lock: f, hangUp: func() {}, token: newToken(), config: c}
	if err := b.boot(ctx, c); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Broker) boot(ctx context.Context, c Config) error {
	var err error
	if b.maxStore, err = prepare(b.dir); err != nil {
		return err
	}
	interval, err := c.interval()
	if err != nil {
		return err
	}
	b.always = interval == 0
	if err := b.serve(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start broker on %s: %w", b.dir, err)
	}
	opts := append(connOptions(c.Log), nats.InProcessServer(inside{b}), nats.Token(b.token))
	if b.conn, err = nats.Connect("", opts...); err != nil {
		return fmt.Errorf("connect to broker on %s: %w", b.dir, err)
	}
	b.url = "nats://" + b.server().Addr().String()
	mending, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.hangUp = stop
	b.mends.Go(func() { b.mend(mending) })
	return nil
}

// serve starts the server and writes down where it is.
func (b *Broker) serve() error {
	srv, err := serve(b.config, b.token, max(b.maxStore, reserved(b.dir)+minFree))
	if err != nil {
		return err
	}
	a := address{
		PID: os.Getpid(), URL: "nats://" + srv.Addr().String(), Token: b.token,
		MaxStore: b.maxStore, SyncAlways: b.always,
	}
	if err := a.write(b.dir); err != nil {
		shutdown(srv)
		return explain(b.dir, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.srv = srv
	return nil
}

func (b *Broker) server() *server.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.srv
}

// inside is how the owner connects to its own server, whichever that is.
type inside struct{ b *Broker }

// InProcessConn connects without a network.
func (i inside) InProcessConn() (net.Conn, error) { return i.b.server().InProcessConn() }

// Conn is the connection: inside the process for the owner, over the network otherwise. It
// reconnects for as long as it takes; Close closes it.
func (b *Broker) Conn() *nats.Conn { return b.conn }

// Owner reports whether the server runs in this process, and so ends with it.
func (b *Broker) Owner() bool { return b.lock != nil }

// URL is the address of the server at the time of connecting, without credentials.
func (b *Broker) URL() string { return b.url }

// Dir is the full path of the store, or empty for a server elsewhere.
func (b *Broker) Dir() string { return b.dir }

// MaxStore is how many bytes the store may take, to which the limits of all its streams have to
// add up. It is 0, for unknown, for a server elsewhere. It changes with the free space on the
// disk from one start to the next; streams made before keep their limits.
func (b *Broker) MaxStore() int64 { return b.maxStore }

// SyncAlways reports whether the server fsyncs every write, so that many writes are cheaper
// together. Of a server elsewhere it is not known, and false.
func (b *Broker) SyncAlways() bool { return b.always }

// Health says what is wrong with the connection or, for the owner, with the server, which stores
// nothing more after an error of the disk until it has been mended.
func (b *Broker) Health() error {
	if !b.conn.IsConnected() {
		return errors.New("check broker: not connected")
	}
	srv := b.server()
	if srv == nil {
		return nil
	}
	if s := srv.Healthz(&server.HealthzOptions{}); s.Error != "" {
		return fmt.Errorf("check broker: %s", s.Error)
	}
	return nil
}

// Close sends what was published, closes the connection and, for the owner, shuts the server
// down and leaves the store to the next. What the server has not acknowledged may be lost then,
// even though it was sent. It may be called more than once and from anywhere.
func (b *Broker) Close() error {
	b.closing.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Broker) close() error {
	if b.conn != nil {
		if b.conn.IsConnected() {
			// An error means that the connection broke, and with it what was not acknowledged.
			_ = b.conn.FlushTimeout(2 * time.Second)
		}
		b.conn.Close()
	}
	b.hangUp()
	b.mends.Wait()
	if b.lock == nil {
		return nil
	}
	// The address goes first, so that nobody comes while the server leaves; the lock goes last.
	err := os.Remove(filepath.Join(b.dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if srv := b.server(); srv != nil {
		shutdown(srv)
	}
	return errors.Join(err, b.lock.Close())
}
