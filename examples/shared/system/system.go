// Package system runs the samples: each is a [Design] of services with databases of
// their own, which share nothing but the channels of a broker, and a gateway in front
// of them. A [System] runs all of them in one process, or some.
//
// To test with it, see package sampletest.
package system

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tidings.example/examples/shared/proxy"
	"tidings.example/examples/shared/wiring"
	"tidings.example/service"
)

// A System is processes of a sample that run in this one. Run may be called once.
type System struct {
	design   *Design
	cfg      Config
	parts    []*wiring.Part
	services map[string]*service.Service
	metrics  *wiring.Metrics
}

// New returns a system, or an error that says which setting is wrong. Nothing
// is read, written or opened before Run.
func (d *Design) New(cfg Config) (*System, error) {
	cfg.withDefaults(d)
	err := cfg.validate(d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Title, err)
	}
	s := &System{design: d, cfg: cfg, services: map[string]*service.Service{}, metrics: wiring.NewMetrics(cfg.Metrics)}
	for _, one := range d.Services {
		if err == nil && cfg.runs(one.Name) {
			err = s.add(one)
		}
	}
	if err == nil && cfg.runs(Gateway) {
		err = s.addGateway()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Title, err)
	}
	return s, nil
}

func (s *System) names() wiring.Names {
	return wiring.Names{Prefix: s.cfg.Prefix, Channels: s.design.Channels}
}

// add adds a service.
func (s *System) add(one Service) error {
	part, err := one.New(wiring.Config{DB: s.cfg.Databases[one.Name], Broker: s.cfg.Broker, Names: s.names(), BatchSize: s.cfg.BatchSize,
		WithoutRelay: s.cfg.WithoutRelays, Logger: s.cfg.Logger, Metrics: s.metrics})
	if err != nil {
		return err
	}
	cfg := service.Config{Name: part.Name, Handler: part.Handler, Metrics: s.cfg.Metrics.Handler(),
		Inboxes: part.Inboxes, Background: part.Background, DrainTimeout: s.cfg.DrainTimeout, Logger: s.cfg.Logger}
	if part.Relay != nil {
		cfg.Relays = []service.Component{part.Relay}
	}
	if !s.cfg.runs(Gateway) {
		cfg.Addr = s.cfg.Addrs[part.Name]
	}
	made, err := service.New(cfg)
	s.parts, s.services[part.Name] = append(s.parts, part), made
	return err
}

// addGateway adds the gateway in front of the services, be they here or elsewhere.
func (s *System) addGateway() error {
	backends, elsewhere := map[string]proxy.Backend{}, map[string]string{}
	for _, one := range s.design.Services {
		backends[one.Name] = proxy.Remote(one.Name, s.cfg.Addrs[one.Name], s.cfg.Logger)
		elsewhere[one.Name] = s.cfg.Addrs[one.Name]
	}
	for _, part := range s.parts {
		backends[part.Name] = proxy.Local(part.Name, part.Handler, s.services[part.Name].Ready)
		delete(elsewhere, part.Name)
	}
	g, err := s.design.NewGateway(GatewayConfig{Backends: backends, Broker: s.cfg.Broker, Names: s.names(),
		Logger: s.cfg.Logger.With("service", Gateway), Metrics: s.metrics})
	if err != nil {
		return err
	}
	s.services[Gateway], err = service.New(service.Config{Name: Gateway, Handler: g, Background: g.Background,
		Metrics: proxy.Metrics(s.cfg.Metrics.Registry(), elsewhere), Addr: s.cfg.Addrs[Gateway],
		DrainTimeout: s.cfg.DrainTimeout, Logger: s.cfg.Logger})
	return err
}

// Run creates the tables that are missing, starts the processes and blocks
// until ctx is done or one of them fails; then all stop, the gateway first. It
// returns nil after a clean stop, or what failed.
func (s *System) Run(ctx context.Context) error {
	for _, part := range s.parts {
		if err := part.Migrate(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// The services outlive the gateway, which passes the last requests on to them.
	outer, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var front, back sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, one := range s.services {
		group, until := &back, outer
		if name == Gateway {
			group, until = &front, failed
		}
		group.Go(func() {
			if err := one.Run(until); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				mu.Unlock()
				fail(err)
			}
		})
	}
	<-failed.Done()
	front.Wait()
	stop()
	back.Wait()
	return errors.Join(errs...)
}

// Addr is where a process serves HTTP, empty while it does not.
func (s *System) Addr(process string) string {
	if one := s.services[process]; one != nil {
		return one.Addr()
	}
	return ""
}

// Ready returns why the system does not do all of its work now, by process and
// part; an empty map means that it does.
func (s *System) Ready() map[string]string {
	reasons := map[string]string{}
	for name, one := range s.services {
		for part, why := range one.Ready() {
			reasons[name+": "+part] = why
		}
	}
	return reasons
}

// WaitReady returns nil when the system is ready, or an error with the reasons
// why it was not when ctx ended.
func (s *System) WaitReady(ctx context.Context) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		reasons := s.Ready()
		if len(reasons) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			first := slices.Sorted(maps.Keys(reasons))[0]
			return fmt.Errorf("not ready: %s: %s", first, reasons[first])
		case <-look.C:
		}
	}
}
