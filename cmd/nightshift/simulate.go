package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/consumer/provider/sim"
)

func (a *app) simulateCommand() *cobra.Command {
	listen := "127.0.0.1:0"
	cmd := &cobra.Command{
		Use:   "simulate [KEY=VALUE...]",
		Short: "Serve a provider that fails on purpose, on a loopback port",
		Long: "simulate serves an OpenAI-compatible provider that answers, limits and fails as\n" +
			"it is told, and prints its base URL. GET /sim/stats shows what it was asked, POST\n" +
			"/sim/config changes it.\n\n" +
			"Keys: " + fold(strings.Join(sim.Keys(), ", "), len("Keys: ")),
		Example: "  nightshift simulate latency=400ms,sigma=0.5,capacity=64\n" +
			"  nightshift simulate rpm=600 errors=0.02 --listen 127.0.0.1:8099",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.simulate(cmd.Context(), listen, strings.Join(args, ","))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", listen, "`address` to serve on, on this machine")
	return cmd
}

func (a *app) simulate(ctx context.Context, listen, spec string) error {
	c, err := sim.Parse(spec)
	if err != nil {
		return specError("simulate", err)
	}
	if host, _, err := net.SplitHostPort(listen); err != nil || !isLoopback(host) {
		return usageError{hint(fmt.Errorf("--listen %q", listen), "use a loopback address such as 127.0.0.1:8099")}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	srv := &http.Server{Handler: sim.New(c), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	printf(a.stdout, "http://%s/v1\n", l.Addr())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("simulate: %w", err)
	}
	return nil
}

// specError says what is wrong with a spec of the simulated provider, the keys as a hint.
func specError(where string, err error) error {
	text, keys, _ := strings.Cut(strings.TrimPrefix(err.Error(), "sim spec: "), "; valid keys: ")
	if keys == "" {
		return usageError{fmt.Errorf("%s: %s", where, text)}
	}
	return usageError{hint(fmt.Errorf("%s: %s", where, text), "use %s", keys)}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
