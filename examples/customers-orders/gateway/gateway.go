// Package gateway is the one address of the sample: it passes requests on to
// the services, shows a page for people, and streams to it what passes over the
// broker. It has no database and makes no decisions.
//
// A service is reached at its address, or directly where it runs in the same
// process. To test the gateway, give it handlers of the test as services.
package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"tidings.example/broker"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/proxy"
	"tidings.example/examples/shared/system"
	"tidings.example/examples/shared/web"
	"tidings.example/examples/shared/wiring"
	"tidings.example/service"
)

// Name is the gateway's name.
const Name = system.Gateway

// Config is what the gateway needs. Only Logger and Metrics are optional.
type Config struct {
	// Orders, Customers and History are the services.
	Orders, Customers, History proxy.Backend
	// Broker delivers what the page shows. All gateways of one Names share the
	// messages, so that each shows only a part: run one.
	Broker interface {
		broker.Subscriber
		broker.Provisioner
	}
	Names   wiring.Names
	Logger  *slog.Logger
	Metrics *wiring.Metrics
}

// New returns a gateway, or an error naming the setting that is missing.
func New(c Config) (*proxy.Gateway, error) {
	switch {
	case c.Orders == nil || c.Customers == nil || c.History == nil:
		return nil, errors.New("make gateway: Orders, Customers and History are required")
	case c.Broker == nil:
		return nil, errors.New("make gateway: Broker is missing")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	page, err := newPage()
	if err != nil {
		return nil, fmt.Errorf("make gateway: %w", err)
	}
	h := newHub()
	routes := web.NewRoutes(web.Config{Logger: c.Logger, Observe: answered(c.Metrics.RequestsOf(Name))})
	routes.Handle("/{$}", web.Methods{http.MethodGet: page.serve})
	routes.Handle("/events", web.Methods{http.MethodGet: h.serve})

	mux := http.NewServeMux()
	mux.Handle("/", routes)
	mux.Handle("/orders", c.Orders)
	mux.Handle("/orders/", c.Orders)
	mux.Handle("/customers", c.Customers)
	mux.Handle("/customers/", c.Customers)
	mux.Handle("/customers/{id}/orderhistory", c.History)

	channels := wiring.NewChannels(c.Broker, c.Names, c.Logger)
	feed := channels.Before(&feed{broker: c.Broker, names: events.Names{Prefix: c.Names.Prefix}, hub: h, logger: c.Logger})
	return &proxy.Gateway{Handler: proxy.SameOrigin(mux), Background: []service.Component{feed, c.Orders, c.Customers, c.History}}, nil
}

// answered leaves out streams, which are not answered but end.
func answered(observe func(web.Request)) func(web.Request) {
	if observe == nil {
		return nil
	}
	return func(r web.Request) {
		if r.Pattern != "/events" {
			observe(r)
		}
	}
}
