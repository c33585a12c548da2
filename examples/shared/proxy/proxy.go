// Package proxy is what the gateways of the samples share: they pass requests on
// to services, which run at an address or in the same process, and show the
// figures of all. To test a gateway, give it handlers of the test as services.
package proxy

import (
	"net/http"

	"tidings.example/examples/shared/web"
	"tidings.example/service"
)

// A Backend is a service behind the gateway.
type Backend interface {
	http.Handler
	// Component tells whether the service is ready.
	service.Component
}

// A Gateway is the HTTP handler of all paths, and what runs in the background.
type Gateway struct {
	http.Handler
	Background []service.Component
}

// SameOrigin refuses requests that change something and that a browser makes
// for the page of another site.
func SameOrigin(h http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		web.WriteProblem(w, web.NewProblem(http.StatusForbidden, "the request comes from the page of another site"))
	}))
	return protection.Handler(h)
}
