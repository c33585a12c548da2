package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings.example/relay"
)

type relayMetrics struct {
	batch *prometheus.HistogramVec
	lag   *prometheus.HistogramVec
	bytes *prometheus.CounterVec
}

func newRelayMetrics() relayMetrics {
	source := []string{"source"}
	return relayMetrics{
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_relay_batch_messages", Help: "Messages per completed batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}, source),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_relay_lag_seconds", Help: "Age of the oldest message of a batch when the broker held it.",
			Buckets: seconds,
		}, source),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_relay_published_payload_bytes_total", Help: "Payload bytes that the broker has acknowledged.",
		}, source),
	}
}

func (m *relayMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.batch, m.lag, m.bytes}
}

// RelayObserver returns what to set as the Observer of relays.
func (m *Metrics) RelayObserver() relay.Observer { return relayObserver{&m.relay} }

type relayObserver struct{ m *relayMetrics }

func (o relayObserver) Batch(b relay.Batch) {
	o.m.batch.WithLabelValues(b.Source).Observe(float64(b.Rows))
	o.m.lag.WithLabelValues(b.Source).Observe(time.Since(b.Oldest).Seconds())
	o.m.bytes.WithLabelValues(b.Source).Add(float64(b.Bytes))
}

func (relayObserver) SetAside(relay.SetAside) {}

// WatchRelay shows what stats returns, under the name of the relay's source.
// It must be called once per source.
func (m *Metrics) WatchRelay(source string, stats func() relay.Stats) {
	w := relayWatcher{watcher[relay.Stats]{m.registry, prometheus.Labels{"source": source}, stats}}
	w.counter("tidings_relay_published_messages_total", "Messages that the broker has acknowledged.",
		func(s relay.Stats) float64 { return float64(s.Published) })
	w.counter("tidings_relay_repeated_messages_total", "Published messages that the broker may have twice.",
		func(s relay.Stats) float64 { return float64(s.Repeated) })
	w.counter("tidings_relay_set_aside_rows_total", "Outbox rows that could not be published, and rows behind them.",
		func(s relay.Stats) float64 { return float64(s.SetAside) })
	w.counter("tidings_relay_epochs_total", "Epochs that this relay has opened.",
		func(s relay.Stats) float64 { return float64(s.Epochs) })
	w.gauge("tidings_relay_in_flight_messages", "Messages handed to the broker and not acknowledged.",
		func(s relay.Stats) float64 { return float64(s.InFlight) })
	w.gauge("tidings_relay_held_keys", "Keys with set-aside outbox rows.",
		func(s relay.Stats) float64 { return float64(s.Held) })
	w.gauge("tidings_relay_leading", "1 while this relay holds the lease, else 0.",
		func(s relay.Stats) float64 { return oneIf(s.Role == relay.Leading) })
	w.gauge("tidings_relay_standing_by", "1 while this relay waits for another's lease to end, else 0.",
		func(s relay.Stats) float64 { return oneIf(s.Role == relay.Standby) })
	w.gauge("tidings_relay_fence", "Number of the lease that this relay held last.",
		func(s relay.Stats) float64 { return float64(s.Fence) })
	w.gauge("tidings_relay_behind_seconds", "Age of the oldest message that was read and that the broker has not acknowledged.",
		func(s relay.Stats) float64 { return s.Behind.Seconds() })
	m.registry.MustRegister(&epochInfo{stats: stats, desc: prometheus.NewDesc(
		"tidings_relay_epoch_info", "The epoch that messages are numbered in; its value is always 1.", []string{"epoch"}, prometheus.Labels{"source": source})})
	w.log()
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// epochInfo shows the name of the epoch as a label.
type epochInfo struct {
	stats func() relay.Stats
	desc  *prometheus.Desc
}

func (e *epochInfo) Describe(descs chan<- *prometheus.Desc) { descs <- e.desc }

func (e *epochInfo) Collect(metrics chan<- prometheus.Metric) {
	if epoch := e.stats().Epoch; epoch != "" {
		metrics <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, 1, epoch)
	}
}
