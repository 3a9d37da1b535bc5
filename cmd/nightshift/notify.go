package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"nightshift/consumer"
	"nightshift/policy"
	"nightshift/producer"
)

const (
	// notifyEvery is how often the notifier looks what has happened and what is to be sent.
	notifyEvery = 2 * time.Second
	// notifyFor is for how long a delivery is tried, and how old an event may be that nobody was
	// told of: a store that is opened after a year tells nobody of last year.
	notifyFor = 24 * time.Hour
	// notifyWait is for one request, and notifyLease how long one worker has a notice for itself.
	notifyLease = 30 * time.Second
	notifyWait  = 15 * time.Second
	// notifyPause is the longest wait between two tries.
	notifyPause = 5 * time.Minute
	// notifyLast is how long a command that is done waits for what it has to tell.
	notifyLast = 10 * time.Second
)

// endpoint is one that is told, with the policies that stand before it.
type endpoint struct {
	notifyConfig
	id     string // names it in the store, without the address
	host   string // names it in the log
	secret []byte
	guard  *policy.Guard
	client *http.Client
}

// newEndpoints opens those of the configuration.
func newEndpoints(all []notifyConfig) (map[string]*endpoint, error) {
	byID := map[string]*endpoint{}
	for _, c := range all {
		secret := os.Getenv(c.SecretEnv)
		if secret == "" {
			return nil, hint(fmt.Errorf("notify: the environment variable %s is not set", c.SecretEnv),
				"export %s=… with the key that signs the notifications", c.SecretEnv)
		}
		u, err := url.Parse(c.URL)
		if err != nil { // it was checked when the file was read
			return nil, errors.New("notify: url cannot be read")
		}
		e := &endpoint{notifyConfig: c, id: shortHash(c.URL), host: u.Host, secret: []byte(secret)}
		e.guard = policy.NewGuard(policy.GuardConfig{
			Provider: u.Host, MaxInFlight: 8, Start: 4, Timeout: notifyWait, Classify: judgeNotice,
		})
		e.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		byID[e.id] = e
	}
	return byID, nil
}

func shortHash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// notifier finds out what has happened and tells those who want to know. Any number of processes may
// run one on the same store: they share what is to be told through it.
type notifier struct {
	*app
	session *session

	mu        sync.Mutex
	endpoints map[string]*endpoint
	open      map[string]bool // batches that may be complete the next time

	// Only the loop uses these.
	manifests map[string]producer.Batch
	mark      uint64          // of the bucket of manifests when they were last read
	put       map[string]bool // events that are in the store
	sending   sync.WaitGroup
}

func newNotifier(a *app, s *session) (*notifier, error) {
	endpoints, err := newEndpoints(a.config.Notify)
	return &notifier{
		app: a, session: s, endpoints: endpoints, open: map[string]bool{},
		manifests: map[string]producer.Batch{}, put: map[string]bool{},
	}, err
}

// notifying starts what tells others, for the time of a command. The returned function ends it, when
// what there was to tell is told or stands in the store.
func (a *app) notifying(ctx context.Context, s *session) (end func(), err error) {
	if len(a.config.Notify) == 0 {
		return func() {}, nil
	}
	n, err := newNotifier(a, s)
	if err != nil {
		return nil, err
	}
	a.observer = n
	return n.start(ctx), nil
}

// use has other endpoints told from now on.
func (n *notifier) use(endpoints map[string]*endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endpoints = endpoints
}

func (n *notifier) told() map[string]*endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.endpoints
}

// start runs the loop until end is called, which has it look once more.
func (n *notifier) start(ctx context.Context) (end func()) {
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.run(loop)
	}()
	return func() {
		cancel()
		<-done
		n.sending.Wait()
		n.finish(ctx)
	}
}

func (n *notifier) run(ctx context.Context) {
	tick := time.NewTicker(notifyEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if len(n.told()) > 0 {
			if err := n.look(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn().Err(err).Msg("notifications wait")
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// look puts what has happened into the store, and sends what is due.
func (n *notifier) look(ctx context.Context) error {
	if err := n.find(ctx); err != nil {
		return err
	}
	_, err := n.send(ctx)
	return err
}

// finish tells what came up last. What is not taken within some seconds stays in the store: the next
// worker goes on with it. After Ctrl-C it waits for nobody.
func (n *notifier) finish(ctx context.Context) {
	if len(n.told()) == 0 {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyLast)
	defer cancel()
	err := n.find(last)
	for left := 1; err == nil && left > 0 && ctx.Err() == nil; {
		left, err = n.send(last)
		n.sending.Wait()
		select {
		case <-last.Done():
			printf(n.stderr, "%s not delivered yet: the next worker on this store tries again\n", plural(left, "notification"))
			return
		case <-time.After(notifyEvery / 20):
		}
	}
	if err != nil {
		n.log.Warn().Err(err).Msg("notifications wait for the next worker")
	}
}

// Called is of no interest.
func (n *notifier) Called(string, policy.Class, time.Duration) {}

// Settled notes a batch that may be complete by it.
func (n *notifier) Settled(s consumer.Settled) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.endpoints) > 0 {
		n.open[s.Batch] = true
	}
}
