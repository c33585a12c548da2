package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// listen opens the port, so that an occupied one is an error of Run at once.
func (s *Service) listen() (Component, error) {
	if s.cfg.Addr == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("serve HTTP on %s: %w", s.cfg.Addr, err)
	}
	s.mu.Lock()
	s.addr = listener.Addr().String()
	s.mu.Unlock()
	return &httpServer{listener: listener, drain: s.firstDrain() * 9 / 10, server: &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}}, nil
}

// httpServer is the HTTP server as a part of the service.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	drain    time.Duration // a bit less than the service waits for it
}

func (h *httpServer) Name() string { return "http " + h.listener.Addr().String() }
func (h *httpServer) Ready() error { return nil }

// Run serves until ctx is done and then waits for running requests. In the end
// it cuts off those that hang.
func (h *httpServer) Run(ctx context.Context) error {
	h.server.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.WithoutCancel(ctx), drainKey{}, ctx.Done())
	}
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(h.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.drain)
	defer cancel()
	err := h.server.Shutdown(limit)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests still run after %s and are cut off: %w", h.drain, err), h.server.Close())
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

type drainKey struct{}

// Draining returns, for a request's context, a channel that is closed when the
// service drains. The request's context itself stays alive, so that requests
// finish; those that last for ever, such as event streams, end when the channel
// is closed. It returns nil for other contexts.
func Draining(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(drainKey{}).(<-chan struct{})
	return done
}

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.serveReady)
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.Metrics)
	}
	if s.cfg.Handler != nil {
		mux.Handle("/", s.cfg.Handler)
	}
	return mux
}

// serveReady answers 200, or 503 with the reasons.
func (s *Service) serveReady(w http.ResponseWriter, _ *http.Request) {
	reasons := s.Ready()
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, map[string]any{"service": s.cfg.Name, "ready": len(reasons) == 0, "reasons": reasons})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client has gone if this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}
