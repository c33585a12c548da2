package saga

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"tidings.example/codec"
	"tidings.example/saga/machine"
)

// A Definition says what the sagas of one type do: steps, in order, over data of
// type D, which is stored with each saga as JSON. It does not change after [New].
type Definition[D any] struct {
	plan  machine.Plan
	steps map[string]*Step[D]
	errs  []error
}

// Define defines a saga. The name is stored and sent, so it must not change
// later, nor may the names of its steps while sagas that are at them run; both are 1 to
// 200 letters, digits, '.', '_' and '-'. What is wrong with a definition is
// reported by [Definition.Err] and by [New].
//
// A saga that is behind its pivot, or compensates, tries again what fails, at
// first after a second, then twice as long each time up to a minute, 10 times in
// all; then it is stuck. [Definition.Undo] changes that.
func Define[D any](name string, steps ...*Step[D]) *Definition[D] {
	d := &Definition[D]{steps: map[string]*Step[D]{},
		plan: machine.Plan{Name: name, Undo: machine.Retry{Attempts: 10, Initial: time.Second, Max: time.Minute}}}
	for _, s := range steps {
		if planned, ok := d.add(s); ok {
			d.plan.Steps = append(d.plan.Steps, planned)
		}
	}
	return d
}

// add takes a step and its members into the definition.
func (d *Definition[D]) add(s *Step[D]) (machine.Step, bool) {
	if s == nil {
		d.errs = append(d.errs, errors.New("a step is nil"))
		return machine.Step{}, false
	}
	planned := s.plan
	for _, m := range s.members {
		if p, ok := d.add(m); ok {
			planned.Members = append(planned.Members, p)
		}
	}
	if d.steps[planned.Name] != nil {
		d.errs = append(d.errs, fmt.Errorf("two steps have the name %q", planned.Name))
	}
	d.steps[planned.Name] = s
	for _, err := range s.errs {
		d.errs = append(d.errs, fmt.Errorf("step %q: %w", planned.Name, err))
	}
	return planned, true
}

// Within bounds the time of a whole saga: one that has not passed its pivot by
// then is compensated. Behind the pivot that it took longer is only noted.
func (d *Definition[D]) Within(limit time.Duration) *Definition[D] {
	d.plan.Timeout = limit
	return d
}

// Undo says how often, and after which waits, compensations and steps behind the pivot are
// tried before the saga is stuck.
func (d *Definition[D]) Undo(attempts int, initial, most time.Duration) *Definition[D] {
	d.plan.Undo = machine.Retry{Attempts: attempts, Initial: initial, Max: most}
	return d
}

// Name is the saga's type.
func (d *Definition[D]) Name() string { return d.plan.Name }

// Plan is the definition as data, to print, draw or compare. It must not be changed.
func (d *Definition[D]) Plan() *machine.Plan { return &d.plan }

// Err returns what is wrong with the definition.
func (d *Definition[D]) Err() error {
	errs := d.errs
	if err := d.plan.Validate(); err != nil {
		errs = append(errs[:len(errs):len(errs)], err)
	}
	if reflect.TypeFor[D]().Kind() == reflect.Interface {
		errs = append(errs[:len(errs):len(errs)], fmt.Errorf("its data is of type %s: use a struct", reflect.TypeFor[D]()))
	}
	if len(errs) > 0 {
		return fmt.Errorf("saga %q: %w", d.plan.Name, errors.Join(errs...))
	}
	return nil
}

// dataCodec encodes the data of sagas, and of the children that they start.
var dataCodec codec.JSON
