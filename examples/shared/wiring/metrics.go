package wiring

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"tidings.example/examples/shared/web"
	"tidings.example/metrics"
)

// Metrics are the figures of one process of a sample.
type Metrics struct {
	tidings  *metrics.Metrics
	requests *prometheus.HistogramVec
}

// NewMetrics adds what the samples measure themselves. It is called once per m.
func NewMetrics(m *metrics.Metrics) *Metrics {
	requests := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time to answer a request.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}, []string{"service", "route", "method", "status"})
	m.Registry().MustRegister(requests)
	return &Metrics{tidings: m, requests: requests}
}

// RequestsOf returns the observer of a service's requests; nil for none.
func (m *Metrics) RequestsOf(service string) func(web.Request) {
	if m == nil {
		return nil
	}
	return func(r web.Request) {
		m.requests.WithLabelValues(service, r.Pattern, method(r.Method), strconv.Itoa(r.Status)).Observe(r.Duration.Seconds())
	}
}

// method keeps clients from making up label values.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}
