package saga

import (
	"context"
	"errors"
	"fmt"

	"tidings.example"
	"tidings.example/saga/machine"
)

// errStarted says that another transaction has started the saga at the same time.
var errStarted = fmt.Errorf("another transaction has started it at the same time: %w", ErrConflict)

// MaxID is how long the id of a saga may be, in bytes.
const MaxID = 255

func validateID(id string) error {
	switch {
	case id == "":
		return errors.New("the id is empty: choose one that is unique for what the saga is about, such as the order's id")
	case len(id) > MaxID:
		return fmt.Errorf("the id has %d bytes, more than %d", len(id), MaxID)
	}
	return nil
}

// Start starts a saga in the caller's transaction tx: it exists, and what it
// sends is sent, if and only if tx commits. Local steps at the beginning are run at once, in tx.
//
// id is chosen by the caller, as the key of what is done: a second Start of the same
// saga with the same id changes nothing and returns false. Other errors than of the
// definition or the id come from local steps or the database; tx should then be rolled back. Where two
// transactions start the same saga at once, or tx still sees the database as it was before the other, one
// may get an error that wraps [ErrConflict]: roll back and try again.
func Start[Tx, D any](ctx context.Context, tx Tx, m *Manager[Tx], d *Definition[D], id string, data D) (started bool, err error) {
	if m.definitions[d.Name()] != AnyDefinition(d) {
		return false, fmt.Errorf("start saga %q: the manager does not have this definition: add it to Definitions", d.Name())
	}
	if err := validateID(id); err != nil {
		return false, fmt.Errorf("start saga %q: %w", d.Name(), err)
	}
	u := m.unit(tx)
	u.starting = true
	existing, err := u.load(ctx, Ref{d.Name(), id})
	if err != nil {
		return false, err
	}
	if existing != nil {
		return false, nil
	}
	o := u.create(Ref{d.Name(), id}, d, &data)
	o.state.Headers = origin(ctx, id)
	if err := u.happen(ctx, o, machine.Started{}); err != nil {
		return false, err
	}
	return true, u.saveForCaller(ctx)
}

// saveForCaller saves in a transaction of the caller's, who may still roll it
// back: those who wait for what has ended look again, and find out.
func (u *unit[Tx]) saveForCaller(ctx context.Context) error {
	err := u.save(ctx)
	u.m.waiters.tell(u.ended)
	return err
}

// origin is what the saga carries on: the correlation id and trace of the
// message being handled; without one its own id joins what follows.
func origin(ctx context.Context, id string) tidings.Headers {
	h := tidings.Headers{tidings.HeaderCorrelationID: id}
	cause := tidings.Cause(ctx)
	if cause == nil {
		return h
	}
	h[tidings.HeaderCorrelationID] = cause.ID
	for _, name := range []string{tidings.HeaderCorrelationID, tidings.HeaderTraceparent} {
		if value := cause.Headers[name]; value != "" {
			h[name] = value
		}
	}
	return h
}

// Signal tells a saga, in tx, that what its step of kind event waits for has happened, for those who hear of
// it otherwise than by an event. apply, which may be nil, may change the data. It reports false
// where there is no such saga. A step that is not waited for any more is left as it is.
func Signal[Tx, D any](ctx context.Context, tx Tx, m *Manager[Tx], d *Definition[D], id, step string, apply func(d *D)) (bool, error) {
	s := d.plan.Find(step)
	if s == nil || s.Kind != machine.Event {
		return false, fmt.Errorf("signal saga %q: it has no step %q that waits for an event", d.Name(), step)
	}
	u := m.unit(tx)
	o, err := u.load(ctx, Ref{d.Name(), id})
	if err != nil || o == nil {
		return false, err
	}
	if o.broken != nil {
		return false, o.broken
	}
	msg := tidings.Message{Type: s.Type}
	if cause := tidings.Cause(ctx); cause != nil {
		msg.ID = cause.ID
	}
	change := func(data any) {
		if apply != nil {
			apply(data.(*D))
		}
	}
	if err := u.signal(ctx, o, step, change, &msg); err != nil {
		return false, err
	}
	return true, u.saveForCaller(ctx)
}
