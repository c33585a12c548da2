// Package customersorders is a sample system: three services that keep orders
// and credit limits consistent through messages, and a gateway in front of them.
//
//	orders     takes orders; PENDING until customers has decided, then APPROVED or CANCELLED
//	customers  reserves credit for orders, never more than a customer's limit
//	history    a view that joins what the two publish
//	gateway    one address for all of them, and a page for people
//
// A [System] runs all of them in one process, or some. Each service has a
// database of its own; they share nothing but the channels of a broker. What
// holds: a customer's reserved credit never exceeds the limit, and once all is
// quiet it is the sum of that customer's approved orders, whatever process was
// killed when.
//
// To test with it, give it SQLite files and package broker/natsjs's server in
// the process, as this package's tests do.
package customersorders

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"tidings.example/examples/customers-orders/customers"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/customers-orders/gateway"
	"tidings.example/examples/customers-orders/history"
	"tidings.example/examples/customers-orders/orders"
	"tidings.example/examples/customers-orders/wiring"
	"tidings.example/service"
)

// A System is processes of the sample that run in this one. Run may be called once.
type System struct {
	cfg      Config
	parts    []*wiring.Part
	services map[string]*service.Service
	metrics  *wiring.Metrics
}

// New returns a system, or an error that says which setting is wrong. Nothing
// is read, written or opened before Run.
func New(cfg Config) (*System, error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("customers and orders: %w", err)
	}
	s := &System{cfg: cfg, services: map[string]*service.Service{}, metrics: wiring.NewMetrics(cfg.Metrics)}
	makers := map[string]func(wiring.Config) (*wiring.Part, error){
		Orders: orders.New, Customers: customers.New, History: history.New,
	}
	for _, name := range Services {
		if !cfg.runs(name) {
			continue
		}
		part, err := makers[name](s.wiring(name))
		if err == nil {
			err = s.add(part)
		}
		if err != nil {
			return nil, fmt.Errorf("customers and orders: %w", err)
		}
	}
	if cfg.runs(Gateway) {
		if err := s.addGateway(); err != nil {
			return nil, fmt.Errorf("customers and orders: %w", err)
		}
	}
	return s, nil
}

func (s *System) wiring(name string) wiring.Config {
	return wiring.Config{DB: s.cfg.Databases[name], Broker: s.cfg.Broker, Names: s.names(), BatchSize: s.cfg.BatchSize,
		WithoutRelay: s.cfg.WithoutRelays, Logger: s.cfg.Logger, Metrics: s.metrics}
}

func (s *System) names() events.Names { return events.Names{Prefix: s.cfg.Prefix} }

// add adds a service.
func (s *System) add(part *wiring.Part) error {
	cfg := service.Config{Name: part.Name, Handler: part.Handler, Metrics: s.cfg.Metrics.Handler(),
		Inboxes: []service.Component{part.Inbox}, Background: []service.Component{part.Database},
		DrainTimeout: s.cfg.DrainTimeout, Logger: s.cfg.Logger}
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
	backends, elsewhere := map[string]gateway.Backend{}, map[string]string{}
	for _, name := range Services {
		backends[name] = gateway.Remote(name, s.cfg.Addrs[name], s.cfg.Logger)
		elsewhere[name] = s.cfg.Addrs[name]
	}
	for _, part := range s.parts {
		backends[part.Name] = gateway.Local(part.Name, part.Handler, s.services[part.Name].Ready)
		delete(elsewhere, part.Name)
	}
	g, err := gateway.New(gateway.Config{Orders: backends[Orders], Customers: backends[Customers], History: backends[History],
		Broker: s.cfg.Broker, Names: s.names(), Logger: s.cfg.Logger.With("service", Gateway), Metrics: s.metrics})
	if err != nil {
		return err
	}
	s.services[Gateway], err = service.New(service.Config{Name: Gateway, Handler: g, Background: g.Background,
		Metrics: s.metricsHandler(elsewhere), Addr: s.cfg.Addrs[Gateway], DrainTimeout: s.cfg.DrainTimeout, Logger: s.cfg.Logger})
	return err
}

func (s *System) metricsHandler(elsewhere map[string]string) http.Handler {
	return gateway.Metrics(s.cfg.Metrics.Registry(), elsewhere)
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
