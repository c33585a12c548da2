package inbox

import (
	"errors"
	"log/slog"
	"time"

	"tidings.example"
)

// work handles messages until the queue is stopped.
func (r *run[Tx]) work() {
	for qs := r.queue.take(); qs != nil; qs = r.queue.take() {
		r.process(qs)
	}
}

// process handles the items that were taken from the queues, and gives the
// queues back.
func (r *run[Tx]) process(qs []*queue) {
	items := qs[0].taken
	for _, q := range qs[1:] {
		items = append(items, q.taken...)
	}
	began := r.cfg.Now()
	results, f := r.transact(items)
	switch {
	case f == nil:
		r.status.works(nil)
		took := r.cfg.Now().Sub(began)
		for i, it := range items {
			r.finish(it, results[i], took, len(items))
			it.ack()
		}
		r.queue.done(qs)
	case r.ctx.Err() != nil:
		// Cut off while draining: the broker delivers them again.
	case r.fatal(f.err):
	case len(items) > 1:
		if f.item != nil {
			r.count(f.item, f)
		}
		r.queue.split(qs)
	default:
		r.failedAlone(qs[0], items[0], f)
	}
}

// fatal ends the run if err says that going on makes no sense.
func (r *run[Tx]) fatal(err error) bool {
	if _, ok := errors.AsType[*TooManyHolesError](err); !ok {
		return false
	}
	r.cfg.Logger.Error("inbox stops", "subscriber", r.cfg.Subscriber, "error", err)
	r.fail(err)
	return true
}

// failedAlone decides what to do about a message that failed in a transaction
// of its own.
func (r *run[Tx]) failedAlone(q *queue, it *item, f *failure) {
	transient := r.count(it, f)
	if hopeless := f.called && !transient && IsPermanent(f.err) || it.faults >= r.cfg.MaxAttempts; !hopeless {
		r.queue.pause(q, r.cfg.Backoff.wait(it.failures))
		return
	}
	// Given up or parked next, in a transaction that does not call the handler.
	switch {
	case it.failure != nil:
		it.park, it.failure = reason(it.park+"; giving it up failed", f.err), nil
	case r.cfg.GiveUp != nil:
		it.park, it.failure = reason("", f.err), f.err
	default:
		it.park = reason("", f.err)
	}
	it.faults, it.failures = 0, 0
	r.queue.split([]*queue{q})
}

// transient reports whether an error may pass. A handler's mark counts more
// than what the store makes of the error.
func (r *run[Tx]) transient(err error) bool {
	return IsTransient(err) || !IsPermanent(err) && r.cfg.Store.Transient(err)
}

// count records a failure with the message, and reports whether it is
// transient: not the message's fault.
func (r *run[Tx]) count(it *item, f *failure) (transient bool) {
	transient = !f.called || f.timedOut || r.transient(f.err)
	it.failures++
	if f.called {
		if it.failure == nil {
			it.attempts++
		}
		if !transient {
			it.faults++
		}
	} else {
		r.status.works(f.err)
	}
	r.status.update(func(s *Stats) { s.Failures++ })
	r.cfg.Observer.Failed(Failed{Subscriber: r.cfg.Subscriber, Source: it.m.Source, Channel: it.m.Channel, Type: it.m.Type,
		Attempt: it.attempts, Transient: transient, Err: f.err})
	// The first, second, fourth, eighth ... failure: enough to see what goes
	// on, also when everything fails for hours.
	if it.failures&(it.failures-1) == 0 {
		r.log(slog.LevelWarn, "message failed", it.m, "error", f.err, "attempts", it.attempts, "failures", it.failures, "transient", transient)
	}
	return transient
}

// finish counts and reports a message whose transaction was committed.
func (r *run[Tx]) finish(it *item, res result, took time.Duration, batch int) {
	if res.outcome == Handled {
		it.attempts++
	}
	d := Done{
		Subscriber: r.cfg.Subscriber, Source: it.m.Source, Channel: it.m.Channel, Type: it.m.Type,
		Outcome: res.outcome, Late: res.verdict == Late, Attempts: it.attempts,
		Duration: took, Batch: batch, Age: r.cfg.Now().Sub(it.m.Time),
	}
	if res.verdict == Gap {
		d.Missing = res.missing.size()
		r.log(slog.LevelWarn, "messages are missing", it.m, "first", res.missing.First, "last", res.missing.Last)
	}
	switch res.outcome {
	case GivenUp:
		r.log(slog.LevelError, "message given up", it.m, "reason", it.park, "attempts", it.attempts)
	case ParkedFailed:
		r.log(slog.LevelError, "message parked", it.m, "reason", res.why, "attempts", it.attempts)
	case ParkedSetBack:
		r.log(slog.LevelError, "message parked: its source was set back", it.m)
	}
	r.status.done(d)
	r.cfg.Observer.Done(d)
}

func (r *run[Tx]) log(level slog.Level, msg string, m *tidings.Message, args ...any) {
	if !r.cfg.Logger.Enabled(r.ctx, level) {
		return
	}
	args = append(args, "subscriber", r.cfg.Subscriber, "channel", m.Channel, "type", m.Type, "id", m.ID, "key", m.Key,
		"source", m.Source, "lane", m.Stamp.Lane, "sequence", m.Stamp.Sequence)
	r.cfg.Logger.Log(r.ctx, level, msg, args...)
}
