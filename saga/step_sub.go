package saga

import (
	"fmt"

	"tidings.example/saga/machine"
)

// childOf is a step's child saga.
type childOf[D any] struct {
	start func(d *D) any
	ended func(d *D, child any) error
}

// Sub starts another saga, of the same manager, and waits for its end. The step is done
// when the child has completed, and refused when it was compensated or has failed. Its
// compensation compensates the child. The child's id is the saga's, '/' and the step's name.
func Sub[D, C any](name string, child *Definition[C], start func(d *D) C, options ...Option[D]) *Step[D] {
	s := newStep(machine.Saga, name, options)
	if child == nil || start == nil {
		s.fail("Sub needs a definition and a function that makes its data")
		return s
	}
	var ended func(*D, any) error
	if s.child != nil {
		ended = s.child.ended
	}
	s.child = &childOf[D]{start: func(d *D) any { c := start(d); return &c }, ended: ended}
	s.plan.Type = child.Name()
	s.setUndo(machine.Saga)
	return s
}

// OnEnd is told the data of a child saga that has completed, before the saga goes on.
func OnEnd[D, C any](handle func(d *D, child C)) Option[D] {
	return func(s *Step[D]) {
		s.child = &childOf[D]{ended: func(d *D, child any) error {
			c, ok := child.(*C)
			if !ok {
				return fmt.Errorf("the child's data is %T, not what OnEnd of step %q takes", child, s.plan.Name)
			}
			handle(d, *c)
			return nil
		}}
	}
}
