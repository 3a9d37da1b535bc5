package broker_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift/deploy/broker"
	"nightshift/deploy/broker/brokertest"
)

func TestConnect(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	token := address(t, b.Dir()).Token
	host := strings.TrimPrefix(b.URL(), "nats://")
	for name, r := range map[string]broker.Remote{
		"token":    {URL: b.URL(), Token: token, Name: "worker"},
		"in url":   {URL: "nats://" + token + "@" + host},
		"bare":     {URL: host, Token: token},
		"one down": {URL: "nats://127.0.0.1:1," + host, Token: token},
	} {
		c, err := broker.Connect(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Owner() || c.Dir() != "" || c.MaxStore() != 0 || strings.Contains(c.URL(), token) {
			t.Errorf("%s: %v %q %d %s", name, c.Owner(), c.Dir(), c.MaxStore(), c.URL())
		}
		if err := errors.Join(c.Health(), c.Close(), c.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConnectRefusals(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	const secret = "s3cret"
	seed := filepath.Join(with(t, "seed", secret), "seed")
	for name, c := range map[string]struct {
		remote broker.Remote
		want   string
	}{
		"no url":     {broker.Remote{}, "set nats.url"},
		"bad url":    {broker.Remote{URL: "nats://u:" + secret + "#x@h:4222"}, "cannot be read"},
		"wrong":      {broker.Remote{URL: b.URL(), Token: secret}, "check the credentials"},
		"in url":     {broker.Remote{URL: "nats://u:" + secret + "@127.0.0.1:1"}, "is the server up"},
		"no creds":   {broker.Remote{URL: b.URL(), Creds: "/none"}, "open /none"},
		"bad nkey":   {broker.Remote{URL: b.URL(), NKey: seed}, "read nkey"},
		"key alone":  {broker.Remote{URL: b.URL(), Key: seed}, "set both"},
		"bad ca":     {broker.Remote{URL: b.URL(), CA: seed}, "certificate"},
		"tls wanted": {broker.Remote{URL: "tls://127.0.0.1" + port(b)}, "TLS"},
	} {
		_, err := broker.Connect(t.Context(), c.remote)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error tells a secret: %v", name, err)
		}
	}
}

func port(b *broker.Broker) string { return b.URL()[strings.LastIndex(b.URL(), ":"):] }

func TestConnectEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	_, err := broker.Connect(ctx, broker.Remote{URL: "nats://192.0.2.1:4222"})
	if !errors.Is(err, context.Canceled) || time.Since(began) > time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// An owner that does not answer, such as a stopped process, must not hang its guests.
func TestOwnerWithoutAnswer(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(b.Dir(), "broker.json")
	a := `{"pid":4711,"url":"nats://` + l.Addr().String() + `","token":"s3cret"}`
	if err := os.WriteFile(file, []byte(a), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = broker.Attach(t.Context(), b.Dir())
	if err == nil || !strings.Contains(err.Error(), "process 4711 holds the store") {
		t.Errorf("attach: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error tells the token: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := os.WriteFile(file, []byte(`{"pid":4711}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = broker.Attach(ctx, b.Dir()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("attach to one that reads its store: %v", err)
	}
}
