package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// serveConfig is where nightshift serve listens for scrapes and probes.
type serveConfig struct {
	// Listen is an address such as 127.0.0.1:9464, or off.
	Listen string `yaml:"listen"`
	// TokenEnv or TokenFile hold the token that /metrics asks for. An address that other machines
	// reach needs one.
	TokenEnv  string `yaml:"token_env"`
	TokenFile string `yaml:"token_file"`
}

const (
	defaultListen = "127.0.0.1:9464"
	listenOff     = "off"
)

// The events that a notification may be for.
const (
	eventComplete = "complete"
	eventHold     = "hold"
	eventBudget   = "budget"
)

// notifyConfig is somebody who is told what happened.
type notifyConfig struct {
	URL string `yaml:"url"`
	// SecretEnv names the variable that holds the key of the signature.
	SecretEnv string `yaml:"secret_env"`
	// On lists the events: complete, hold, budget. Default all.
	On []string `yaml:"on"`
}

func (c *config) checkServe(path string) error {
	if c.Serve.TokenEnv != "" && c.Serve.TokenFile != "" {
		return hint(fmt.Errorf("%s: serve: token_env and token_file are both set", path), "keep one of the two")
	}
	if err := checkListen(c.Serve.Listen); err != nil {
		return wrapHint(fmt.Errorf("%s: serve: %w", path, err), err)
	}
	for i, n := range c.Notify {
		if err := n.check(); err != nil {
			return wrapHint(fmt.Errorf("%s: notify %d: %w", path, i+1, err), err)
		}
	}
	return nil
}

// checkListen refuses what is no address.
func checkListen(address string) error {
	if address == "" || address == listenOff {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return hint(fmt.Errorf("listen: %q is no address", address), "use HOST:PORT such as %s, or %s", defaultListen, listenOff)
	}
	return nil
}

// loopback says whether only this machine reaches an address. A name may be anybody's tomorrow.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// token is what /metrics asks for; "" for nothing.
func (c serveConfig) token() (string, error) {
	if c.TokenEnv == "" && c.TokenFile == "" {
		return "", nil
	}
	token, where := os.Getenv(c.TokenEnv), "environment variable "+c.TokenEnv
	if c.TokenFile != "" {
		path, err := expandHome(c.TokenFile)
		if err != nil {
			return "", err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("serve: read token_file: %w", err)
		}
		token, where = string(text), "file "+c.TokenFile
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", hint(fmt.Errorf("serve: the %s holds no token", where), "put a long random one there, such as of: openssl rand -hex 32")
	}
	return token, nil
}

// check keeps the address out of its errors: many hold a password in their path.
func (n notifyConfig) check() error {
	u, err := url.Parse(n.URL)
	switch {
	case n.URL == "":
		return hint(errors.New("url is missing"), "name where to POST, such as https://hooks.example/nightshift")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return hint(errors.New("url is no http or https address"), "such as https://hooks.example/nightshift")
	case u.User != nil:
		return hint(errors.New("url holds a user or a password"), "the signature tells who sends: leave them out")
	case n.SecretEnv == "":
		return hint(errors.New("secret_env is missing"), "name the environment variable that holds the key of the signature")
	}
	for _, e := range n.On {
		if !slices.Contains([]string{eventComplete, eventHold, eventBudget}, e) {
			return hint(fmt.Errorf("on: %q", e), "use %s, %s or %s", eventComplete, eventHold, eventBudget)
		}
	}
	return nil
}

// wants says whether it is told of an event.
func (n notifyConfig) wants(event string) bool { return len(n.On) == 0 || slices.Contains(n.On, event) }
