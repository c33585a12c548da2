package metrics

import "github.com/prometheus/client_golang/prometheus"

// watcher shows values of what stats returns at each scrape.
type watcher[S any] struct {
	registry *prometheus.Registry
	labels   prometheus.Labels
	stats    func() S
}

func (w watcher[S]) counter(name, help string, value func(S) float64) {
	w.registry.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: name, Help: help, ConstLabels: w.labels}, func() float64 { return value(w.stats()) }))
}

func (w watcher[S]) gauge(name, help string, value func(S) float64) {
	w.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: w.labels}, func() float64 { return value(w.stats()) }))
}
