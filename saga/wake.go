package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example/saga/machine"
)

// wakes are the sagas that are due, as a timer.Source.
type wakes[Tx any] struct{ m *Manager[Tx] }

// Timers are the deadlines of the manager's sagas, for a timer.Runner made by
// hand. Run does that by itself.
func (m *Manager[Tx]) Timers() *wakes[Tx] { return &wakes[Tx]{m} }

func (w *wakes[Tx]) Name() string { return w.m.Name() }

func (w *wakes[Tx]) Next(ctx context.Context) (time.Time, bool, error) {
	return w.m.cfg.Store.NextWake(ctx)
}

func (w *wakes[Tx]) Transient(err error) bool { return w.m.cfg.Store.Transient(err) }

// commitTime is how long after a saga's time it is looked at, so that the transaction that has
// set the time is committed by then, usually. If not, the next look is at most Poll later.
const commitTime = 5 * time.Millisecond

// wakeSoon has the timers look at what becomes due before they would look by themselves.
func (m *Manager[Tx]) wakeSoon(now, due time.Time) {
	if wait := due.Sub(now); !due.IsZero() && wait < m.cfg.Poll {
		time.AfterFunc(max(wait, 0)+commitTime, m.timers.Wake)
	}
}

// Fire does what is due, together if it can, else one by one: a saga that fails
// must not hold up the others.
func (w *wakes[Tx]) Fire(ctx context.Context, now time.Time, limit int) (int, error) {
	done, err := w.fire(ctx, now, limit)
	if err == nil || !alone(err) {
		return done, err
	}
	total := 0
	for range limit {
		done, err := w.fireOne(ctx, now)
		total += done
		if err != nil || done == 0 {
			return total, err
		}
	}
	return total, nil
}

// maxTries bounds the local steps of one saga that may fail in one go.
const maxTries = 100

// fireOne does one thing that is due.
func (w *wakes[Tx]) fireOne(ctx context.Context, now time.Time) (done int, err error) {
	// Each local step that fails for the first time is remembered, and recorded by the next try.
	seen := map[localKey]bool{}
	for range maxTries {
		if done, err = w.fire(ctx, now, 1); err == nil || !alone(err) {
			return done, err
		}
		local, ok := errors.AsType[*localError](err)
		if !ok || seen[local.key] {
			break
		}
		seen[local.key] = true
	}
	failed, ok := errors.AsType[*sagaError](err)
	if !ok {
		// Somebody else has done something to it at the same time, twice; it is looked at again.
		return 0, nil
	}
	return 1, w.postpone(ctx, failed)
}

// alone reports whether an error is of one saga, so that the others go on without it.
func alone(err error) bool {
	_, failed := errors.AsType[*sagaError](err)
	return failed || errors.Is(err, ErrConflict) || errors.Is(err, errStarted)
}

// A sagaError is what went wrong with one saga that is due.
type sagaError struct {
	ref Ref
	err error
}

func (e *sagaError) Error() string { return e.err.Error() }
func (e *sagaError) Unwrap() error { return e.err }

func (w *wakes[Tx]) fire(ctx context.Context, now time.Time, limit int) (done int, err error) {
	var ended []Ref
	err = w.m.cfg.Store.InTx(ctx, func(ctx context.Context, tx Tx) error {
		done = 0
		u := w.m.unit(tx)
		due, err := w.m.cfg.Store.Due(ctx, tx, now, limit)
		if err != nil {
			return fmt.Errorf("read the sagas that are due: %w", err)
		}
		for i := range due {
			if err := call(func() error { return w.wake(ctx, u, &due[i]) }); err != nil {
				if ctx.Err() != nil || w.m.cfg.Store.Transient(err) {
					return err
				}
				return &sagaError{due[i].Ref, err}
			}
			done++
		}
		ended = u.ended
		if err = u.save(ctx); err != nil && len(due) > 0 && ctx.Err() == nil && !w.m.cfg.Store.Transient(err) {
			// What one sends, for example, is too large for the outbox: alone it is found out which.
			err = &sagaError{due[0].Ref, err}
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	w.m.waiters.tell(ended)
	return done, nil
}

// postponed is when a saga is looked at again that this program cannot do anything with.
const postponed = 30 * time.Second

// postpone lets a saga alone for a while that cannot go on, for a reason that the
// machine knows nothing of: a function of its definition panics.
func (w *wakes[Tx]) postpone(ctx context.Context, failed *sagaError) error {
	w.m.cfg.Logger.Error("saga is due and cannot go on", "saga", failed.ref.Type, "id", failed.ref.ID, "error", failed.err, "again after", postponed)
	return w.m.cfg.Store.InTx(ctx, func(ctx context.Context, tx Tx) error {
		r, err := w.m.cfg.Store.Load(ctx, tx, failed.ref)
		if err != nil || r == nil {
			return err
		}
		r.Wake, r.Error = w.m.now().Add(postponed), cut(failed.Error(), maxError)
		return w.m.cfg.Store.Save(ctx, tx, r, nil)
	})
}

func (w *wakes[Tx]) wake(ctx context.Context, u *unit[Tx], r *Record) error {
	if u.open[r.Ref] != nil {
		// Another saga of this transaction has had something to do with it.
		return nil
	}
	if r.State.Ended() {
		return w.m.remove(ctx, u, r)
	}
	o, err := u.take(r)
	if err != nil {
		return err
	}
	if o.Request != nil {
		return w.m.request(ctx, u, o)
	}
	return u.happen(ctx, o, machine.Woken{})
}
