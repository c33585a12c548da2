package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings.example/saga"
	"tidings.example/saga/machine"
)

type sagaMetrics struct {
	started *prometheus.CounterVec
	steps   *prometheus.CounterVec
	ignored *prometheus.CounterVec
	asked   *prometheus.CounterVec
	ended   *prometheus.HistogramVec
}

func newSagaMetrics() sagaMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return sagaMetrics{
		started: counter("tidings_sagas_started_total", "Sagas that were started.", "saga"),
		steps:   counter("tidings_saga_steps_total", "What became of steps, of attempts at them, and of what undoes them.", "saga", "step", "outcome"),
		ignored: counter("tidings_saga_ignored_replies_total", "Replies that changed nothing, by why.", "kind"),
		asked:   counter("tidings_saga_requests_total", "What operators have asked for.", "saga"),
		ended: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_saga_seconds", Help: "Time from the start of a saga to its end.", Buckets: seconds,
		}, []string{"saga", "state"}),
	}
}

func (m *sagaMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.started, m.steps, m.ignored, m.asked, m.ended}
}

// stepOutcomes are the occurrences that are counted as a step's.
var stepOutcomes = map[machine.Occurrence]string{
	machine.OccurredDone:    "done",
	machine.OccurredRefused: "refused",
	machine.OccurredSkip:    "skipped",
	machine.OccurredFailure: "attempt failed",
	machine.OccurredTimeout: "timed out",
	machine.OccurredUndone:  "undone",
	machine.OccurredStuck:   "stuck",
}

// ignoredReplies are the occurrences that tell of a reply that changed nothing.
var ignoredReplies = map[machine.Occurrence]string{
	machine.OccurredLateReply: "late",
	machine.OccurredRepeated:  "repeated",
	machine.OccurredForeign:   "foreign",
}

// SagaObserver returns what to set as the Observer of saga managers. It counts
// what a transaction does before that commits: one that is rolled back and
// done again is counted twice.
func (m *Metrics) SagaObserver() saga.Observer { return sagaObserver{&m.saga} }

type sagaObserver struct{ m *sagaMetrics }

func (o sagaObserver) Recorded(ref saga.Ref, e machine.Entry) {
	switch e.What {
	case machine.OccurredStart:
		o.m.started.WithLabelValues(ref.Type).Inc()
	case machine.OccurredOperator:
		o.m.asked.WithLabelValues(ref.Type).Inc()
	}
	if outcome, ok := stepOutcomes[e.What]; ok && e.Step != "" {
		if e.Undo && e.What != machine.OccurredUndone {
			outcome = "undo " + outcome
		}
		o.m.steps.WithLabelValues(ref.Type, e.Step, outcome).Inc()
	}
	if kind, ok := ignoredReplies[e.What]; ok {
		o.m.ignored.WithLabelValues(kind).Inc()
	}
}

func (o sagaObserver) Ended(ref saga.Ref, s machine.State, took time.Duration) {
	o.m.ended.WithLabelValues(ref.Type, string(s)).Observe(max(took.Seconds(), 0))
}

func (o sagaObserver) Unknown(saga.Ref) { o.m.ignored.WithLabelValues("unknown saga").Inc() }
