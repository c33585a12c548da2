package saga

import (
	"tidings.example"
	"tidings.example/event"
	"tidings.example/saga/machine"
)

// eventOf is what a step waits for.
type eventOf[D any] struct {
	aggregate event.Aggregate
	name      string
	// decode returns the id of the saga that the event is for, and what it does to its data.
	decode func(m *tidings.Message) (sagaID string, apply func(d *D), err error)
}

// AwaitEvent waits for an event of an aggregate. sagaID says which saga, of those of this
// type, an event is for; "" for none. Where the saga exists and has not come to the step yet,
// the event is kept for it. apply, which may be nil, may change the data.
func AwaitEvent[D any, E event.Event](name string, a event.Aggregate, sagaID func(e event.Of[E]) string,
	apply func(d *D, e event.Of[E]), options ...Option[D]) *Step[D] {
	s := newStep(machine.Event, name, options)
	if sagaID == nil {
		s.fail("AwaitEvent needs a function that says which saga an event is for")
		return s
	}
	s.plan.Type = newOf[E]().EventType()
	s.event = &eventOf[D]{aggregate: a, name: s.plan.Type}
	s.event.decode = func(m *tidings.Message) (string, func(d *D), error) {
		e, err := event.Decode[E](a, m)
		if err != nil {
			return "", nil, err
		}
		change := func(*D) {}
		if apply != nil {
			change = func(d *D) { apply(d, e) }
		}
		return sagaID(e), change, nil
	}
	return s
}
