package saga

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/event"
	"tidings.example/saga/machine"
)

// AnyDefinition is a [Definition] of any type of data: what a [Manager] runs.
type AnyDefinition interface {
	// Name is the saga's type.
	Name() string
	// Plan is the definition as data. It must not be changed.
	Plan() *machine.Plan
	// Err returns what is wrong with the definition.
	Err() error

	// What follows works on data that decode has returned: always a *D.
	decode(stored []byte) (any, error)
	encode(data any) ([]byte, error)
	runLocal(ctx context.Context, tx, data any, step string, undo bool) error
	command(data any, step string, undo bool) (command.Participant, command.Command, error)
	participant(step string) (command.Participant, bool)
	reply(data any, step, replyType, contentType string, payload []byte) error
	holds(data any, step string) bool
	until(data any, step string, now time.Time) time.Time
	child(data any, step string) any
	childEnded(data any, step string, child any) error
	awaited() []awaited
	transactions() map[string]reflect.Type
	intercept(tx reflect.Type, run func(ctx context.Context, tx any, c LocalCall) error) AnyDefinition
}

// awaited is an event that a step of a definition waits for.
type awaited struct {
	sagaType, step string
	aggregate      event.Aggregate
	name           string
	decode         func(m *tidings.Message) (sagaID string, apply func(data any), err error)
}

func (d *Definition[D]) decode(stored []byte) (any, error) {
	data := new(D)
	if err := dataCodec.Decode("", stored, data); err != nil {
		return nil, &undecodableError{fmt.Errorf("decode the data of saga %q: %w", d.plan.Name, err)}
	}
	return data, nil
}

func (d *Definition[D]) encode(data any) ([]byte, error) {
	encoded, err := dataCodec.Encode(data)
	if err != nil {
		return nil, fmt.Errorf("encode the data of saga %q: %w", d.plan.Name, err)
	}
	return encoded, nil
}

func (d *Definition[D]) runLocal(ctx context.Context, tx, data any, step string, undo bool) error {
	s := d.steps[step]
	if undo {
		return s.undo.call(ctx, tx, data.(*D))
	}
	return s.do.call(ctx, tx, data.(*D))
}

func (d *Definition[D]) command(data any, step string, undo bool) (command.Participant, command.Command, error) {
	ask := d.steps[step].ask
	if undo {
		ask = d.steps[step].askBack
	}
	c := ask.command(data.(*D))
	if v := reflect.ValueOf(c); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return ask.participant, nil, fmt.Errorf("step %q of saga %q made no command, but nil", step, d.plan.Name)
	}
	return ask.participant, c, nil
}

func (d *Definition[D]) participant(step string) (command.Participant, bool) {
	s := d.steps[step]
	if s == nil || s.ask.command == nil {
		return command.Participant{}, false
	}
	return s.ask.participant, true
}

func (d *Definition[D]) reply(data any, step, replyType, contentType string, payload []byte) error {
	s := d.steps[step]
	handle := s.replies[replyType]
	if handle == nil {
		return nil
	}
	return handle(data.(*D), s.ask.participant, contentType, payload)
}

func (d *Definition[D]) holds(data any, step string) bool {
	when := d.steps[step].when
	return when == nil || when(data.(*D))
}

func (d *Definition[D]) until(data any, step string, now time.Time) time.Time {
	until := d.steps[step].until
	if until == nil {
		return time.Time{}
	}
	return until(data.(*D), now)
}

func (d *Definition[D]) child(data any, step string) any {
	return d.steps[step].child.start(data.(*D))
}

func (d *Definition[D]) childEnded(data any, step string, child any) error {
	if ended := d.steps[step].child.ended; ended != nil {
		return ended(data.(*D), child)
	}
	return nil
}

func (d *Definition[D]) awaited() []awaited {
	var all []awaited
	for name, s := range d.steps {
		if s.event == nil {
			continue
		}
		all = append(all, awaited{sagaType: d.plan.Name, step: name, aggregate: s.event.aggregate, name: s.event.name,
			decode: func(m *tidings.Message) (string, func(any), error) {
				id, apply, err := s.event.decode(m)
				return id, func(data any) { apply(data.(*D)) }, err
			}})
	}
	return all
}

func (d *Definition[D]) transactions() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for name, s := range d.steps {
		for _, l := range []local[D]{s.do, s.undo} {
			if l.tx != nil {
				types[name] = l.tx
			}
		}
	}
	return types
}
