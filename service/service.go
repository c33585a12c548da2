// Package service is the chassis of a service: one Run starts its relay, its
// inboxes, its background work and its HTTP server, reports health, and drains
// all of it when its context ends.
//
// The parts are anything with the methods of [Component]: *relay.Relay and
// *inbox.Inbox are. To test a service built on it, call Run with a context of
// the test and ask [Service.Ready].
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Component is a part of a service that runs until it is told to stop.
type Component interface {
	// Name is what the part is called in logs and in the reasons of readiness.
	Name() string
	// Run works until ctx is done, finishes what it has begun and returns nil.
	// An error before that ends the whole service.
	Run(ctx context.Context) error
	// Ready returns nil, or the reason why the part does not do its work now.
	Ready() error
}

// Config is what a service consists of. Everything but Name is optional.
type Config struct {
	Name string
	// Inboxes take messages in. They are stopped first, together with the
	// HTTP server and Background, so that nothing new is begun.
	Inboxes []Component
	// Background is any other work, for example timers.
	Background []Component
	// Relays carry messages out. They are stopped last, so that what the
	// others appended while finishing is still published if time allows.
	Relays []Component
	// Addr is where to serve HTTP, for example "127.0.0.1:8080". Empty: no
	// HTTP server.
	Addr string
	// Handler serves every path but /healthz, /readyz and /metrics.
	Handler http.Handler
	// Metrics serves /metrics. Default: not found.
	Metrics http.Handler
	// DrainTimeout bounds the time from the end of Run's context to its
	// return. Where there are relays, the last third of it is theirs alone.
	// Default 15 s.
	DrainTimeout time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
}

// A Service is a configured service. Run may be called once.
type Service struct {
	cfg      Config
	mu       sync.Mutex
	starting bool
	draining bool
	addr     string
}

// New returns a service, or an error naming the setting that is wrong.
func New(cfg Config) (*Service, error) {
	if cfg.Name == "" {
		return nil, errors.New("service: Name is empty")
	}
	if cfg.DrainTimeout < 0 {
		return nil, fmt.Errorf("service: DrainTimeout is %s, less than 0", cfg.DrainTimeout)
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 15 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, starting: true}, nil
}

// Run starts everything and blocks until ctx is done or a part fails. It then
// drains: no new requests and messages, running ones finish, at last the relay
// stops. It returns nil after a clean stop, and otherwise the errors of the parts
// that failed, also while draining, and the names of those that had not finished
// within DrainTimeout; these are still running, so the process should end.
func (s *Service) Run(ctx context.Context) error {
	server, err := s.listen()
	if err != nil {
		return err
	}
	s.setPhase(false, false)

	// The two groups are stopped one after the other.
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	first := newGroup(context.WithoutCancel(ctx), fail)
	last := newGroup(context.WithoutCancel(ctx), fail)
	first.start(append(append([]Component(nil), s.cfg.Inboxes...), s.cfg.Background...))
	if server != nil {
		first.start([]Component{server})
	}
	last.start(s.cfg.Relays)
	s.cfg.Logger.Info("service started", "service", s.cfg.Name, "addr", s.Addr())

	<-failed.Done()
	s.setPhase(false, true)
	s.cfg.Logger.Info("service drains", "service", s.cfg.Name, "limit", s.cfg.DrainTimeout)
	begun := time.Now()
	failures, unfinished := stopWithin(ctx, first, s.firstDrain())
	more, hanging := stopWithin(ctx, last, s.cfg.DrainTimeout-time.Since(begun))
	failures, unfinished = append(failures, more...), append(unfinished, hanging...)
	if len(unfinished) > 0 {
		failures = append(failures, fmt.Errorf("not finished within %s: %s", s.cfg.DrainTimeout, strings.Join(unfinished, ", ")))
	}
	err = join(failures)
	s.cfg.Logger.Info("service stopped", "service", s.cfg.Name)
	return err
}

// firstDrain is how long all but the relays may take to finish.
func (s *Service) firstDrain() time.Duration {
	if len(s.cfg.Relays) == 0 {
		return s.cfg.DrainTimeout
	}
	return s.cfg.DrainTimeout * 2 / 3
}

func stopWithin(ctx context.Context, g *group, d time.Duration) (failures []error, unfinished []string) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	defer cancel()
	return g.stop(limit)
}

// join makes one error, in one line, of several.
func join(all []error) error {
	var joined error
	for _, err := range all {
		if joined != nil {
			err = fmt.Errorf("%w; %w", joined, err)
		}
		joined = err
	}
	return joined
}

// Addr is where HTTP is served, empty while it is not.
func (s *Service) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

func (s *Service) setPhase(starting, draining bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting, s.draining = starting, draining
}

// Ready returns for each part that does not do its work the reason why; an
// empty map means that the service is ready.
func (s *Service) Ready() map[string]string {
	s.mu.Lock()
	starting, draining := s.starting, s.draining
	s.mu.Unlock()
	reasons := map[string]string{}
	switch {
	case starting:
		reasons[s.cfg.Name] = "starting"
	case draining:
		reasons[s.cfg.Name] = "draining"
	}
	for _, parts := range [][]Component{s.cfg.Inboxes, s.cfg.Background, s.cfg.Relays} {
		for _, part := range parts {
			if err := part.Ready(); err != nil {
				reasons[part.Name()] = err.Error()
			}
		}
	}
	return reasons
}
