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

// Fire does what is due, together if it can, else one by one: a saga whose local step
// fails must not hold up the others.
func (w *wakes[Tx]) Fire(ctx context.Context, now time.Time, limit int) (int, error) {
	done, err := w.fire(ctx, now, limit)
	if err == nil || !w.alone(err) {
		return done, err
	}
	total := 0
	for range limit {
		done, err := w.fire(ctx, now, 1)
		if err != nil && w.alone(err) {
			// What has failed is remembered, and recorded by this second try.
			done, err = w.fire(ctx, now, 1)
		}
		total += done
		if err != nil || done == 0 {
			return total, err
		}
	}
	return total, nil
}

// alone reports whether an error is of one saga, so that the others go on without it.
func (w *wakes[Tx]) alone(err error) bool {
	_, failed := errors.AsType[*localError](err)
	return failed || errors.Is(err, ErrConflict) || errors.Is(err, errStarted)
}

func (w *wakes[Tx]) fire(ctx context.Context, now time.Time, limit int) (done int, err error) {
	err = w.m.cfg.Store.InTx(ctx, func(ctx context.Context, tx Tx) error {
		done = 0
		u := w.m.unit(tx)
		due, err := w.m.cfg.Store.Due(ctx, tx, now, limit)
		if err != nil {
			return fmt.Errorf("read the sagas that are due: %w", err)
		}
		for i := range due {
			if err := call(func() error { return w.wake(ctx, u, &due[i]) }); err != nil {
				return err
			}
			done++
		}
		return u.save(ctx)
	})
	if err != nil {
		return 0, err
	}
	return done, nil
}

// postponed is when a saga is looked at again that this program cannot read.
const postponed = 30 * time.Second

func (w *wakes[Tx]) wake(ctx context.Context, u *unit[Tx], r *Record) error {
	if u.open[r.Ref] != nil {
		// Another saga of this transaction has had something to do with it.
		return nil
	}
	o, err := u.take(r)
	if err != nil {
		w.m.cfg.Logger.Error("saga is due and cannot be read", "saga", r.Type, "id", r.ID, "error", err)
		r.Wake = u.at.Add(postponed)
		return w.m.cfg.Store.Save(ctx, u.tx, r, nil)
	}
	if o.Request != nil {
		return w.m.request(ctx, u, o)
	}
	return u.happen(ctx, o, machine.Woken{})
}
