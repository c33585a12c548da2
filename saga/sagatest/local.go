package sagatest

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"tidings.example/saga"
	"tidings.example/store/memory"
)

var errFails = errors.New("sagatest: a failure that may pass")

// runLocal runs a local step of a saga, which may fail in this history.
func (x *run[W]) runLocal(_ context.Context, tx *memory.Tx, c saga.LocalCall) error {
	o := x.local[c.Step]
	if o == nil && c.Tx != reflect.TypeFor[*memory.Tx]() {
		x.broken = fmt.Errorf("local step %q works in transactions of type %s: say what it does to the world with Local", c.Step, c.Tx)
		return errUnusable
	}
	name := "local step " + c.Step
	if c.Undo {
		name = "compensation of " + name
	}
	if !x.starting {
		ways := 2
		if !c.Undo && !behindPivot(x.plans[c.Saga], c.Step) {
			ways = 3
		}
		switch x.choose(ways) {
		case 1:
			x.wrong("%s fails and is rolled back", name)
			return errFails
		case 2:
			x.wrong("%s is refused", name)
			return saga.Refuse(errors.New("refused by sagatest"))
		}
	}
	err := recovered(func() error { return x.callLocal(tx, o, c) })
	if panicked, ok := errors.AsType[*panicError](err); ok {
		x.violation = fmt.Errorf("%s: %w", name, panicked)
	}
	return err
}

func (x *run[W]) callLocal(tx *memory.Tx, o *Override[W], c saga.LocalCall) error {
	if o == nil {
		return c.Do(tx)
	}
	f := o.do
	if c.Undo {
		f = o.undo
	}
	if f == nil {
		return nil
	}
	// What is rolled back may be done again to another world, with the data of that time.
	before, first := copyOf(c.Data), true
	_, err := change(&x.world, func(w *W) (struct{}, error) {
		data := c.Data
		if !first {
			data = copyOf(before)
		}
		first = false
		return struct{}{}, f(w, data)
	})
	return err
}
