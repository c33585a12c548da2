package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// profiles serves net/http/pprof. It tells much about the process, and a caller can
// make it work hard, so it listens on the loopback interface only.
type profiles struct {
	listener net.Listener
}

// checkLoopback refuses an address that other machines could reach.
func checkLoopback(flag, addr string) error {
	if err := checkAddr(flag, addr); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("%s: %q is not on this machine alone; use 127.0.0.1:6060, and a tunnel from elsewhere", flag, shorten(addr, 60))
	}
	return nil
}

func listenProfiles(addr string) (*profiles, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve profiles on %s: %w", addr, err)
	}
	return &profiles{listener: listener}, nil
}

// Name is what the service calls it.
func (p *profiles) Name() string { return "pprof " + p.listener.Addr().String() }

// Ready is always nil: nothing depends on it.
func (p *profiles) Ready() error { return nil }

// Run serves until ctx is done, and then cuts off what is still profiling.
func (p *profiles) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // command lines may hold URLs with passwords
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
