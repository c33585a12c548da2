// Package metrics shows what relays, inboxes and sagas do to Prometheus.
//
// A [Metrics] has a registry of its own. Give its observers to the relay,
// the inboxes and the saga manager when they are made, let it watch them, and serve its Handler:
//
//	m := metrics.New()
//	r, err := relay.New(relay.Config{..., Observer: m.RelayObserver()})
//	m.WatchRelay("orders", r.Stats)
//	sagas, err := saga.New(saga.Config{..., Observer: m.SagaObserver()})
//	counts := m.WatchSagas("orders", db.Admin(), 0)
//	service.New(service.Config{..., Background: []service.Component{sagas, counts}, Metrics: m.Handler()})
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics collects the figures of one program.
type Metrics struct {
	registry *prometheus.Registry
	relay    relayMetrics
	inbox    inboxMetrics
	saga     sagaMetrics
}

// New returns metrics with those of the Go runtime and the process in them.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), relay: newRelayMetrics(), inbox: newInboxMetrics(), saga: newSagaMetrics()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.relay.collectors()...)
	m.registry.MustRegister(m.inbox.collectors()...)
	m.registry.MustRegister(m.saga.collectors()...)
	return m
}

// Handler serves the metrics in the formats that Prometheus asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Registry is for a program's own metrics.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// seconds are buckets from half a millisecond to five minutes: from the usual
// way of a message to a backlog.
var seconds = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
