package saga

import (
	"context"
	"maps"
	"reflect"
)

// A LocalCall is a call of a local step, or of a local compensation, of a saga.
type LocalCall struct {
	// Saga is the saga's type, Step the step's name.
	Saga, Step string
	Undo       bool
	// Data is the saga's, a *D.
	Data any
	// Do calls the function of the definition, in a transaction of the type Tx.
	Do func(tx any) error
	Tx reflect.Type
}

// Intercept returns a copy of a definition whose local steps, and local
// compensations, are run by run, in transactions of type Tx. It is for test kits, which have another
// database, or let steps fail. The copy is of the same type as d.
func Intercept[Tx any](d AnyDefinition, run func(ctx context.Context, tx Tx, c LocalCall) error) AnyDefinition {
	return d.intercept(reflect.TypeFor[Tx](), func(ctx context.Context, tx any, c LocalCall) error {
		return run(ctx, tx.(Tx), c)
	})
}

func (d *Definition[D]) intercept(tx reflect.Type, run func(context.Context, any, LocalCall) error) AnyDefinition {
	steps := maps.Clone(d.steps)
	for name, s := range steps {
		changed := *s
		for undo, l := range map[bool]*local[D]{false: &changed.do, true: &changed.undo} {
			original, works := l.call, l.tx
			if original == nil {
				continue
			}
			l.tx, l.call = tx, func(ctx context.Context, tx any, data *D) error {
				return run(ctx, tx, LocalCall{Saga: d.plan.Name, Step: name, Undo: undo, Data: data, Tx: works,
					Do: func(tx any) error { return original(ctx, tx, data) }})
			}
		}
		steps[name] = &changed
	}
	return &Definition[D]{plan: d.plan, steps: steps, errs: d.errs}
}
