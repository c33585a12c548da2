package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"tidings.example/inbox"
)

type inboxMetrics struct {
	messages *prometheus.CounterVec
	failures *prometheus.CounterVec
	missing  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	age      *prometheus.HistogramVec
}

func newInboxMetrics() inboxMetrics {
	return inboxMetrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_inbox_messages_total", Help: "Messages that an inbox has finished with, by what became of them.",
		}, []string{"subscriber", "channel", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_inbox_failed_attempts_total", Help: "Attempts at handling a message that failed.",
		}, []string{"subscriber", "channel", "kind"}),
		missing: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_inbox_missing_messages_total", Help: "Messages that were found missing; compare the late ones.",
		}, []string{"subscriber", "source", "channel"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_inbox_transaction_seconds", Help: "Time of a message's transaction, its handler included.",
			Buckets: seconds,
		}, []string{"subscriber", "channel"}),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_inbox_message_age_seconds", Help: "Age of a message when it was handled, by both sides' clocks.",
			Buckets: seconds,
		}, []string{"subscriber", "channel"}),
	}
}

func (m *inboxMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.messages, m.failures, m.missing, m.duration, m.age}
}

// InboxObserver returns what to set as the Observer of inboxes.
func (m *Metrics) InboxObserver() inbox.Observer { return inboxObserver{&m.inbox} }

type inboxObserver struct{ m *inboxMetrics }

func (o inboxObserver) Done(d inbox.Done) {
	o.m.messages.WithLabelValues(d.Subscriber, d.Channel, string(d.Outcome)).Inc()
	if d.Missing > 0 {
		o.m.missing.WithLabelValues(d.Subscriber, d.Source, d.Channel).Add(float64(d.Missing))
	}
	if d.Outcome == inbox.Handled || d.Outcome == inbox.Retried {
		o.m.duration.WithLabelValues(d.Subscriber, d.Channel).Observe(d.Duration.Seconds())
		o.m.age.WithLabelValues(d.Subscriber, d.Channel).Observe(max(d.Age.Seconds(), 0))
	}
}

func (o inboxObserver) Failed(f inbox.Failed) {
	kind := "counted"
	if f.Transient {
		kind = "transient"
	}
	o.m.failures.WithLabelValues(f.Subscriber, f.Channel, kind).Inc()
}

// WatchInbox shows what stats returns, under the subscriber's name. It must be
// called once per subscriber.
func (m *Metrics) WatchInbox(subscriber string, stats func() inbox.Stats) {
	w := watcher[inbox.Stats]{m.registry, prometheus.Labels{"subscriber": subscriber}, stats}
	w.counter("tidings_inbox_gaps_total", "Places where messages were found missing.",
		func(s inbox.Stats) float64 { return float64(s.Gaps) })
	w.counter("tidings_inbox_late_messages_total", "Messages that had been found missing and came after all.",
		func(s inbox.Stats) float64 { return float64(s.Late) })
	w.gauge("tidings_inbox_in_flight_messages", "Messages that an inbox holds in memory.",
		func(s inbox.Stats) float64 { return float64(s.InFlight) })
	w.gauge("tidings_inbox_waiting_lanes", "Lanes that wait to try a message again.",
		func(s inbox.Stats) float64 { return float64(s.Waiting) })
	w.gauge("tidings_inbox_held_keys", "Keys with parked messages.",
		func(s inbox.Stats) float64 { return float64(s.HeldKeys) })
	w.gauge("tidings_inbox_held_seconds", "For how long the oldest key with parked messages has been held.",
		func(s inbox.Stats) float64 { return s.HeldFor.Seconds() })
}
