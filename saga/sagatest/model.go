package sagatest

import (
	"context"
	"encoding/json"
	"reflect"

	"tidings.example"
	"tidings.example/codec"
	"tidings.example/command"
	"tidings.example/event"
	"tidings.example/outbox"
	"tidings.example/store/memory"
)

// A Model says what a participant does about one type of command, in a world of
// the user's own; [Handle] makes one.
type Model[W any] struct {
	participant command.Participant
	name        string
	refusals    []command.Reply
	register    func(x *run[W], r *command.Receiver[*memory.Tx])
}

// Handle models how a participant handles commands of type C. The function changes w
// and answers, as the participant's transaction would; it must depend on nothing else.
//
// refusals are replies by which the participant may refuse such a command for good,
// without an effect: Explore tries each, wherever in the saga the command is sent. For a command that
// lists none, Explore tries a refusal by [command.TypeFailed] in front of the pivot
// only, since what is behind it must be able to succeed.
func Handle[W any, C command.Command](p command.Participant, model func(w *W, c C) command.Answer, refusals ...command.Reply) Model[W] {
	m := Model[W]{participant: p, name: newOf[C]().CommandType(), refusals: refusals}
	m.register = func(x *run[W], r *command.Receiver[*memory.Tx]) {
		command.On(r, p, func(_ context.Context, _ *memory.Tx, c command.Of[C]) (command.Answer, error) {
			if answer, ok := x.prescribed(c.Message); ok {
				return answer, nil
			}
			return change(&x.world, func(w *W) (command.Answer, error) {
				// Decoded anew, since the model may keep or change what it gets.
				data, err := decode[C](p, c.Message)
				if err != nil {
					return command.Answer{}, err
				}
				return model(w, data), nil
			})
		})
	}
	return m
}

func decode[C command.Command](p command.Participant, m *tidings.Message) (C, error) {
	c := newOf[C]()
	target := any(&c)
	if reflect.TypeFor[C]().Kind() == reflect.Pointer {
		target = c
	}
	var encoding codec.Codec = codec.JSON{}
	if p.Codec != nil {
		encoding = p.Codec
	}
	return c, encoding.Decode(m.ContentType, m.Payload, target)
}

// newOf is a value that can say its name: where T is a pointer, one to a zero value.
func newOf[T any]() (v T) {
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		v = reflect.New(t.Elem()).Interface().(T)
	}
	return v
}

// An Override replaces a local step; [Local] makes one.
type Override[W any] struct {
	step     string
	do, undo func(w *W, data any) error
}

// Local says what a local step, and its compensation, do to the world, in place of
// what they do to a database. It is needed where they work in other transactions
// than *memory.Tx. undo may be nil for a step without a compensation of its own.
func Local[W, D any](step string, do, undo func(w *W, d *D) error) Override[W] {
	erase := func(f func(*W, *D) error) func(*W, any) error {
		if f == nil {
			return nil
		}
		return func(w *W, data any) error { return f(w, data.(*D)) }
	}
	return Override[W]{step: step, do: erase(do), undo: erase(undo)}
}

// An Event is one that comes while the saga runs.
type Event struct {
	aggregate event.Aggregate
	id        string
	event     event.Event
}

// Happens is an event of an aggregate that comes when there is nothing else to do, or
// earlier, or later.
func Happens(a event.Aggregate, id string, e event.Event) Event { return Event{a, id, e} }

func (e Event) message() (tidings.Message, error) {
	var kept keeper
	err := event.NewPublisher(e.aggregate, outbox.New[struct{}](&kept, 0)).Publish(context.Background(), struct{}{}, e.id, e.event)
	if err != nil {
		return tidings.Message{}, err
	}
	return kept.messages[0], nil
}

type keeper struct{ messages []tidings.Message }

func (k *keeper) Insert(_ context.Context, _ struct{}, ms []tidings.Message) error {
	k.messages = append(k.messages, ms...)
	return nil
}

// A world is the user's, with what was done to it, so that what was rolled
// back can be forgotten: a new world is brought to where the old one was.
type world[W any] struct {
	fresh func() *W
	w     *W
	done  []func(*W)
}

func (x *world[W]) mark() (rollback func()) {
	n := len(x.done)
	return func() {
		if len(x.done) == n {
			return
		}
		x.done, x.w = x.done[:n], x.fresh()
		for _, f := range x.done {
			f(x.w)
		}
	}
}

// change changes the world by f, which must do the same each time.
func change[W, R any](x *world[W], f func(w *W) (R, error)) (R, error) {
	x.done = append(x.done, func(w *W) { _, _ = f(w) })
	return f(x.w)
}

// copyOf returns a copy of a saga's data.
func copyOf(data any) any {
	encoded, err := json.Marshal(data)
	if err != nil {
		return data
	}
	fresh := reflect.New(reflect.TypeOf(data).Elem()).Interface()
	if json.Unmarshal(encoded, fresh) != nil {
		return data
	}
	return fresh
}
