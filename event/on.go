package event

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"

	"tidings.example"
	"tidings.example/inbox"
)

// An Option changes how a handler is registered.
type Option func(*registration)

type registration struct{ names []string }

// Also makes the handler receive events of further names as well, for example
// earlier versions that the Go type can still be decoded from.
// e.Message.Type tells them apart.
func Also(eventTypes ...string) Option {
	return func(r *registration) { r.names = append(r.names, eventTypes...) }
}

// On registers the handler for one type of an aggregate's events. The handler
// works in tx, as [inbox.Handler] says; so do its errors. All handlers of a
// subscriber are registered before its inbox runs. A type registered twice and
// an invalid name are reported by [Subscriber.Inbox] and [Subscriber.Err].
//
// Messages of the aggregate's channel that have no header with an aggregate's
// name, because others than Tidings sent them, are told by their type alone.
func On[Tx any, T Event](s *Subscriber[Tx], a Aggregate, handler func(ctx context.Context, tx Tx, e Of[T]) error, options ...Option) {
	if err := on(s, a, handler, options); err != nil {
		s.errs = append(s.errs, err)
	}
}

func on[Tx any, T Event](s *Subscriber[Tx], a Aggregate, handler func(ctx context.Context, tx Tx, e Of[T]) error, options []Option) error {
	if reflect.TypeFor[T]().Kind() == reflect.Interface {
		return fmt.Errorf("handler for %s: %s is not the type of an event", a.Name, reflect.TypeFor[T]())
	}
	zero, _ := newEvent[T]()
	r := registration{names: []string{zero.EventType()}}
	for _, option := range options {
		option(&r)
	}
	if handler == nil {
		return fmt.Errorf("handler for %s of %s is nil", r.names[0], a.Name)
	}
	if err := a.validate(); err != nil {
		return fmt.Errorf("handler for %s: %w", r.names[0], err)
	}
	handle := typed(a, handler)
	for _, name := range r.names {
		if err := validTypeName(&a, name); err != nil {
			return fmt.Errorf("handler for %s of %s: %w", reflect.TypeFor[T](), a.Name, err)
		}
		if err := s.add(routeKey{channel: a.Channel, aggregate: a.Name, eventType: name}, handle); err != nil {
			return err
		}
	}
	return nil
}

func (s *Subscriber[Tx]) add(key routeKey, handle inbox.Handler[Tx]) error {
	if _, ok := s.routes[key]; ok {
		return fmt.Errorf("type %s of aggregate %s has two handlers", key.eventType, key.aggregate)
	}
	s.routes[key] = handle
	key.aggregate = ""
	if _, ok := s.untold[key]; ok {
		handle = nil
	}
	s.untold[key] = handle
	if !slices.Contains(s.channels, key.channel) {
		s.channels = append(s.channels, key.channel)
	}
	return nil
}

// typed returns the handler of messages that decodes them for a handler of events.
func typed[Tx any, T Event](a Aggregate, handler func(ctx context.Context, tx Tx, e Of[T]) error) inbox.Handler[Tx] {
	return func(ctx context.Context, tx Tx, m *tidings.Message) error {
		e, err := Decode[T](a, m)
		if err != nil {
			return inbox.Permanent(err)
		}
		return handler(ctx, tx, e)
	}
}

// Decode returns a message of the aggregate's as an event of type T, as a
// handler gets it. Whether the message is of that type is the caller's to know.
func Decode[T Event](a Aggregate, m *tidings.Message) (Of[T], error) {
	e := Of[T]{AggregateID: cmp.Or(m.Key, m.Subject), Message: m}
	zero, isPointer := newEvent[T]()
	e.Data = zero
	var target any = &e.Data
	if isPointer {
		target = e.Data
	}
	if err := a.codecOrJSON().Decode(m.ContentType, m.Payload, target); err != nil {
		return e, fmt.Errorf("decode %s: %w", m.Type, err)
	}
	return e, nil
}

// newEvent returns a zero event, allocated where T is a pointer.
func newEvent[T Event]() (e T, isPointer bool) {
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		// Always a T: it is the type that was allocated.
		e, _ = reflect.New(t.Elem()).Interface().(T)
		return e, true
	}
	return e, false
}
