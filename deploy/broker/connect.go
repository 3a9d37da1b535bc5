package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// timeout is for one attempt to connect to one server.
const timeout = 5 * time.Second

// Remote says how to reach a NATS server or cluster that somebody else runs. Everything but URL
// may be empty.
type Remote struct {
	URL   string // one or more, separated by commas: nats://a:4222,nats://b:4222
	Creds string // path of a credentials file
	NKey  string // path of a file with an NKey seed
	Token string // the token itself
	CA    string // path of the authority's certificate in PEM
	Cert  string // path of our certificate in PEM, with Key
	Key   string // path of the certificate's private key in PEM
	Name  string // how the connection is called in the server's lists; "nightshift" by default
	// Log gets what goes wrong on the connection. The zero value is silent.
	Log zerolog.Logger
}

// Connect connects to a server of somebody else. Its Broker is no owner and has no directory.
func Connect(ctx context.Context, r Remote) (*Broker, error) {
	hosts, err := r.hosts()
	if err != nil {
		return nil, err
	}
	opts, err := r.options()
	if err != nil {
		return nil, err
	}
	dialCtx, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	first := context.AfterFunc(ctx, hangUp)
	opts = append(opts, nats.SetCustomDialer(dialer(func(network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: timeout}
		return d.DialContext(dialCtx, network, addr)
	})))
	conn, err := nats.Connect(r.URL, opts...)
	first()
	if err != nil {
		hangUp()
		return nil, refused(ctx, hosts, err)
	}
	return &Broker{url: hosts, conn: conn, hangUp: hangUp}, nil
}

// hosts checks the URL and returns it without credentials.
func (r Remote) hosts() (string, error) {
	if strings.TrimSpace(r.URL) == "" {
		return "", errors.New("connect: no address: set nats.url, for example nats://host:4222")
	}
	var clean []string
	for part := range strings.SplitSeq(r.URL, ",") {
		u, err := parseURL(part)
		if err != nil {
			return "", err
		}
		clean = append(clean, u.Scheme+"://"+u.Host)
	}
	return strings.Join(clean, ","), nil
}

// parseURL reads one address of a server. It does not quote it: there may be a password in it.
func parseURL(s string) (*url.URL, error) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, errors.New("connect: an address in nats.url cannot be read: " +
			"write it like nats://host:4222, with %-escapes in a password")
	}
	return u, nil
}

func (r Remote) options() ([]nats.Option, error) {
	for _, path := range []string{r.Creds, r.NKey, r.CA, r.Cert, r.Key} {
		if err := readable(path); err != nil {
			return nil, err
		}
	}
	if (r.Cert == "") != (r.Key == "") {
		return nil, errors.New("connect: a certificate needs its key: set both or none")
	}
	opts := connOptions(r.Log)
	if r.Name != "" {
		opts = append(opts, nats.Name(r.Name))
	}
	if r.Creds != "" {
		opts = append(opts, nats.UserCredentials(r.Creds))
	}
	if r.NKey != "" {
		o, err := nats.NkeyOptionFromSeed(r.NKey)
		if err != nil {
			return nil, fmt.Errorf("read nkey %s: %w", r.NKey, err)
		}
		opts = append(opts, o)
	}
	if r.Token != "" {
		opts = append(opts, nats.Token(r.Token))
	}
	if r.CA != "" {
		opts = append(opts, nats.RootCAs(r.CA))
	}
	if r.Cert != "" {
		opts = append(opts, nats.ClientCert(r.Cert, r.Key))
	}
	return opts, nil
}

// readable names the file that is missing, which the error of the connection would not.
func readable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return f.Close()
}

// refused says what a user can do about a connection that did not come about.
func refused(ctx context.Context, hosts string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("connect to %s: %w", hosts, ctx.Err())
	}
	hint := "is the server up, and nats.url right?"
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired),
		errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrNkeysNotSupported):
		hint = "check the credentials, and what the server expects"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted),
		strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		hint = "check the certificates, and whether the server speaks TLS"
	}
	return fmt.Errorf("connect to %s: %w: %s", hosts, err, hint)
}

// connOptions hold for every connection. It never gives up, since an answer paid for may be
// waiting to be stored; the pings find a dead one before a job's lease of 30 s runs out.
func connOptions(log zerolog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name(serverName),
		nats.Timeout(timeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.NoCallbacksAfterClientClose(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn().Err(err).Msg("broker connection")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn().Err(err).Msg("broker connection lost")
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			log.Info().Msg("broker connection back")
		}),
	}
}
