package saga

import (
	"context"
	"fmt"
	"reflect"

	"tidings.example/saga/machine"
)

// Local is a step in the orchestrator's own database: do is called in the
// transaction in which the saga goes on, at the start that of the caller. It may
// change d, which is stored with the saga. Errors are as [Refuse] says; an error
// at the start is returned by [Start].
func Local[Tx, D any](name string, do func(ctx context.Context, tx Tx, d *D) error, options ...Option[D]) *Step[D] {
	s := newStep(machine.Local, name, options)
	s.do = localOf(do)
	if do == nil {
		s.fail("its function is nil")
	}
	return s
}

// UndoLocally compensates a step in the orchestrator's own database. It is
// tried until it succeeds, as [Definition.Undo] says.
func UndoLocally[Tx, D any](undo func(ctx context.Context, tx Tx, d *D) error) Option[D] {
	return func(s *Step[D]) {
		if undo == nil {
			s.fail("the function of UndoLocally is nil")
		}
		s.setUndo(machine.Local)
		s.undo = localOf(undo)
	}
}

func (s *Step[D]) setUndo(kind machine.Kind) {
	if s.plan.Compensation != "" {
		s.fail("it has two compensations")
	}
	s.plan.Compensation = kind
}

func localOf[Tx, D any](f func(ctx context.Context, tx Tx, d *D) error) local[D] {
	return local[D]{tx: reflect.TypeFor[Tx](), call: func(ctx context.Context, tx any, d *D) error {
		mine, ok := tx.(Tx)
		if !ok {
			return fmt.Errorf("the step works in transactions of type %s, not %T", reflect.TypeFor[Tx](), tx)
		}
		return f(ctx, mine, d)
	}}
}
