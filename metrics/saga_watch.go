package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings.example/admin"
	"tidings.example/saga/machine"
)

// A SagaDatabase counts what sagas, participants and timers keep in a service's
// database. The Admin of each store is one.
type SagaDatabase interface {
	CountSagas(ctx context.Context) ([]admin.SagaCount, error)
	CountPending(ctx context.Context) (admin.PendingCount, error)
}

// A SagaWatch counts, every now and then, and shows what it counted last. It is a
// component of package service, to be run in the background.
type SagaWatch struct {
	service string
	db      SagaDatabase
	every   time.Duration
	sagas   sagaGauges

	mu       sync.Mutex
	last     counted
	failures uint64
}

// counted is what was counted at a time; a zero time is never.
type counted struct {
	at      time.Time
	sagas   []admin.SagaCount
	pending admin.PendingCount
}

// leastRest keeps counting from taking more than a hundredth of the time, where
// millions of sagas have ended.
const leastRest = 100

// leastCountTime bounds how long counting may take, where every is less.
const leastCountTime = 10 * time.Second

// WatchSagas shows the figures of a service's database under its name. They are counted every
// so often, however often Prometheus asks, and less often where counting takes more than a hundredth of
// that; 0 is every 15 seconds. Nothing is counted, and nothing shown, before the watch runs. WatchSagas must be called once per service.
func (m *Metrics) WatchSagas(service string, db SagaDatabase, every time.Duration) *SagaWatch {
	if every <= 0 {
		every = 15 * time.Second
	}
	w := &SagaWatch{service: service, db: db, every: every, sagas: newSagaGauges(service)}
	m.registry.MustRegister(w)
	return w
}

// Name is what the watch is called in logs.
func (w *SagaWatch) Name() string { return w.service + ".saga-metrics" }

// Ready is always nil: a service works without being counted.
func (w *SagaWatch) Ready() error { return nil }

// Run counts until ctx is done. Where it fails, what was counted last is shown on, and
// its age tells.
func (w *SagaWatch) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		w.count(ctx)
		timer.Reset(max(w.every, leastRest*time.Since(began)))
	}
}

func (w *SagaWatch) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, max(w.every, leastCountTime))
	defer cancel()
	c := counted{at: time.Now()}
	var err error
	if c.sagas, err = w.db.CountSagas(ctx); err == nil {
		c.pending, err = w.db.CountPending(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failures++
		return
	}
	w.last = c
}

// sagaGauges describe what is shown.
type sagaGauges struct {
	sagas, unchanged, stuck                *prometheus.Desc
	locks, oldestLock, setAside            *prometheus.Desc
	timers, overdue, late, age, notCounted *prometheus.Desc
}

func newSagaGauges(service string) sagaGauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, prometheus.Labels{"service": service})
	}
	return sagaGauges{
		sagas:      desc("tidings_sagas", "Sagas in the database.", "saga", "state"),
		unchanged:  desc("tidings_sagas_unchanged_seconds", "For how long nothing has happened to the unfinished saga that was changed longest ago.", "saga", "state"),
		stuck:      desc("tidings_sagas_stuck", "Sagas that wait for an operator."),
		locks:      desc("tidings_command_locks", "Targets that participants have locked for sagas."),
		oldestLock: desc("tidings_command_lock_oldest_seconds", "Age of the oldest lock."),
		setAside:   desc("tidings_commands_set_aside", "Commands that wait until their target is not locked any more."),
		timers:     desc("tidings_timers_waiting", "Times that the database keeps: of delayed messages, and of sagas that are to be woken."),
		overdue:    desc("tidings_timers_overdue", "Those of them that have come, and for which nothing was done yet."),
		late:       desc("tidings_timers_overdue_seconds", "How long ago the first of the overdue times has come."),
		age:        desc("tidings_sagas_counted_seconds", "Age of these figures."),
		notCounted: desc("tidings_sagas_count_failures_total", "Attempts at counting that failed."),
	}
}

// Describe and Collect make it a collector of Prometheus.
func (w *SagaWatch) Describe(descs chan<- *prometheus.Desc) {
	g := w.sagas
	for _, d := range []*prometheus.Desc{g.sagas, g.unchanged, g.stuck, g.locks, g.oldestLock, g.setAside, g.timers, g.overdue, g.late, g.age, g.notCounted} {
		descs <- d
	}
}

// Collect shows what was counted last.
func (w *SagaWatch) Collect(metrics chan<- prometheus.Metric) {
	w.mu.Lock()
	last, failures := w.last, w.failures
	w.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	metrics <- prometheus.MustNewConstMetric(w.sagas.notCounted, prometheus.CounterValue, float64(failures))
	if last.at.IsZero() {
		return
	}
	var stuck int64
	for _, c := range last.sagas {
		gauge(w.sagas.sagas, float64(c.Count), c.Type, c.State)
		if state := machine.State(c.State); !state.Ended() {
			gauge(w.sagas.unchanged, c.Oldest.Seconds(), c.Type, c.State)
			if state == machine.Stuck {
				stuck += c.Count
			}
		}
	}
	p := last.pending
	gauge(w.sagas.stuck, float64(stuck))
	gauge(w.sagas.locks, float64(p.Locks))
	gauge(w.sagas.oldestLock, p.OldestLock.Seconds())
	gauge(w.sagas.setAside, float64(p.SetAside))
	gauge(w.sagas.timers, float64(p.Timers))
	gauge(w.sagas.overdue, float64(p.Overdue))
	gauge(w.sagas.late, p.Late.Seconds())
	gauge(w.sagas.age, time.Since(last.at).Seconds())
}
