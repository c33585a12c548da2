package saga

import (
	"context"
	"errors"
	"fmt"

	"tidings.example/inbox"
	"tidings.example/saga/machine"
)

// localKey names a local step, or a local compensation, of one saga.
type localKey struct {
	ref  Ref
	step string
	undo bool
	// version and attempt keep what was tried apart from what comes later, which
	// another process may have begun meanwhile.
	version int64
	attempt int
}

// tried is what a local step came to in a transaction that was rolled back for it. The
// transaction is tried again, and records that instead of running the step.
type tried struct {
	text    string
	refused bool
}

// localError rolls a transaction back because of a local step.
type localError struct {
	key localKey
	err error
}

func (e *localError) Error() string {
	return fmt.Sprintf("saga %s %q: local step %q: %v", e.key.ref.Type, e.key.ref.ID, e.key.step, e.err)
}
func (e *localError) Unwrap() error { return e.err }

// runLocal runs a local step in the unit's transaction. What a step has written
// that fails must not stay, so its error ends the transaction; the error is remembered, and the
// next try records it.
func (u *unit[Tx]) runLocal(ctx context.Context, o *open, out machine.RunLocal) (machine.Ran, error) {
	key := localKey{o.Ref, out.Step, out.Undo, o.Version, o.state.Steps[out.Step].Attempt}
	if t, ok := u.m.triedBefore(key); ok && !u.starting {
		u.recorded = append(u.recorded, key)
		return machine.Ran{Step: out.Step, Undo: out.Undo, Error: t.text, Refused: t.refused}, nil
	}
	err := call(func() error { return o.def.runLocal(ctx, u.tx, o.data, out.Step, out.Undo) })
	switch {
	case err == nil:
		return machine.Ran{Step: out.Step, Undo: out.Undo}, nil
	case ctx.Err() != nil || u.m.cfg.Store.Transient(err) || inbox.IsTransient(err) && !errors.Is(err, context.DeadlineExceeded):
		// It has nothing to do with the step. A time limit of the step's own has.
		return machine.Ran{}, fmt.Errorf("saga %s %q: local step %q: %w", o.Type, o.ID, out.Step, err)
	}
	if !u.starting {
		u.m.remember(key, tried{text: cut(err.Error(), maxError), refused: IsRefused(err)})
	}
	return machine.Ran{}, &localError{key, err}
}

// call turns a panic of the user's function into an error.
func call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}

// maxTried bounds what is remembered of transactions that were never tried again.
const maxTried = 10_000

func (m *Manager[Tx]) remember(key localKey, t tried) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tried) >= maxTried {
		clear(m.tried)
	}
	m.tried[key] = t
}

func (m *Manager[Tx]) triedBefore(key localKey) (tried, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tried[key]
	return t, ok
}

// forget is called when what was tried is recorded, or before a step is due again.
func (m *Manager[Tx]) forget(keys []localKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.tried, key)
	}
}
