// Package gateway is the one address of the sample: it passes requests on to the
// services. It has no database and makes no decisions. To test it, give it handlers of the test as services.
package gateway

import (
	"net/http"

	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/proxy"
	"tidings.example/examples/shared/system"
	"tidings.example/examples/shared/web"
	"tidings.example/service"
)

// New returns a gateway.
func New(c system.GatewayConfig) (*proxy.Gateway, error) {
	g := &proxy.Gateway{}
	mux := http.NewServeMux()
	mux.Handle("/", web.NewRoutes(web.Config{Logger: c.Logger, Observe: c.Metrics.RequestsOf(system.Gateway)}))
	for path, name := range map[string]string{
		"/orders": messages.OrderService, "/consumers": messages.ConsumerService, "/restaurants": messages.RestaurantService,
	} {
		backend := c.Backends[name]
		mux.Handle(path, backend)
		mux.Handle(path+"/", backend)
		g.Background = append(g.Background, service.Component(backend))
	}
	g.Handler = proxy.SameOrigin(mux)
	return g, nil
}
