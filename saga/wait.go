package saga

import (
	"context"
	"fmt"
	"time"

	"tidings.example/saga/machine"
)

// An Outcome is how a saga has ended.
type Outcome[D any] struct {
	State machine.State
	// Data is the saga's, as it was at the end.
	Data D
	// Error says why it was compensated or has failed.
	Error string
}

// Completed reports whether all steps were done.
func (o *Outcome[D]) Completed() bool { return o.State == machine.Completed }

// Wait waits for the end of a saga, and returns it. It returns ctx's error when
// that comes first; the saga goes on. A saga that is not there yet, because the transaction that
// starts it has not been committed, is waited for as well.
//
// It is told at once of what ends in this process, and otherwise asks the
// database again and again, at first after 20 ms, then up to every 500 ms.
func Wait[Tx, D any](ctx context.Context, m *Manager[Tx], d *Definition[D], id string) (Outcome[D], error) {
	ref := Ref{d.Name(), id}
	told, leave := m.waiters.join(ref)
	defer leave()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		out, ended, err := outcome(ctx, m, d, ref)
		if err != nil || ended {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, fmt.Errorf("wait for saga %s %q: %w", ref.Type, ref.ID, context.Cause(ctx))
		case <-told:
			// What a caller's transaction ends is told before its commit.
			pause = time.Millisecond
		case <-time.After(pause):
		}
	}
}

func outcome[Tx, D any](ctx context.Context, m *Manager[Tx], d *Definition[D], ref Ref) (o Outcome[D], ended bool, err error) {
	r, err := m.cfg.Store.Get(ctx, ref)
	switch {
	case err != nil && m.cfg.Store.Transient(err):
		return o, false, nil
	case err != nil:
		return o, false, fmt.Errorf("wait for saga %s %q: %w", ref.Type, ref.ID, err)
	case r == nil || !r.State.Ended():
		return o, false, nil
	}
	o.State, o.Error = r.State, r.Error
	data, err := d.decode(r.Data)
	if err != nil {
		return o, true, err
	}
	o.Data = *data.(*D)
	return o, true, nil
}
