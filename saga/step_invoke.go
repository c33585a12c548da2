package saga

import (
	"fmt"
	"reflect"

	"tidings.example/codec"
	"tidings.example/command"
	"tidings.example/saga/machine"
)

// Invoke sends a command to a participant and waits for its reply. ask makes the
// command of the data; it must depend on the data only.
func Invoke[D any, C command.Command](name string, p command.Participant, ask func(d *D) C, options ...Option[D]) *Step[D] {
	s := newStep(machine.Command, name, options)
	s.ask, s.plan.Type = requestOf(s, p, ask)
	s.plan.Participant = p.Name
	if s.askBack.command != nil {
		s.askBack.participant = p
	}
	return s
}

// Notify sends a command to a participant and goes on at once.
func Notify[D any, C command.Command](name string, p command.Participant, tell func(d *D) C, options ...Option[D]) *Step[D] {
	s := Invoke(name, p, tell, options...)
	s.plan.Kind = machine.Notify
	return s
}

// UndoBy compensates a step with a command to the same participant, which waits
// in line behind the one it undoes. The participant may get it although it refused the
// step, or has never seen it answered; it then has nothing to undo and answers with success.
func UndoBy[D any, C command.Command](ask func(d *D) C) Option[D] {
	return func(s *Step[D]) {
		s.setUndo(machine.Command)
		s.askBack, s.plan.Undoing = requestOf(s, command.Participant{}, ask)
	}
}

// OnReply takes what replies of one type say, successes and failures alike, into
// the data, before the saga goes on; a step that follows may draw its conclusions.
// Replies of types without a handler only count as success or failure.
func OnReply[D any, R command.Reply](handle func(d *D, r R)) Option[D] {
	return func(s *Step[D]) {
		if reflect.TypeFor[R]().Kind() == reflect.Interface || handle == nil {
			s.fail("OnReply needs a function for one type of reply, not %s", reflect.TypeFor[R]())
			return
		}
		name := newOf[R]().ReplyType()
		if s.replies[name] != nil {
			s.fail("replies of type %q have two handlers", name)
		}
		if s.replies == nil {
			s.replies = map[string]func(*D, command.Participant, string, []byte) error{}
		}
		s.replies[name] = func(d *D, p command.Participant, contentType string, payload []byte) error {
			r := newOf[R]()
			target := any(&r)
			if reflect.TypeFor[R]().Kind() == reflect.Pointer {
				target = r
			}
			if err := codecOf(p).Decode(contentType, payload, target); err != nil {
				return &undecodableError{fmt.Errorf("decode reply %s: %w", name, err)}
			}
			handle(d, r)
			return nil
		}
	}
}

func requestOf[D any, C command.Command](s *Step[D], p command.Participant, ask func(d *D) C) (request[D], string) {
	if reflect.TypeFor[C]().Kind() == reflect.Interface || ask == nil {
		s.fail("it needs a function that makes one type of command, not %s", reflect.TypeFor[C]())
		return request[D]{}, ""
	}
	return request[D]{participant: p, command: func(d *D) command.Command { return ask(d) }}, newOf[C]().CommandType()
}

// newOf is a value that can say its name: where T is a pointer, one to a zero value.
func newOf[T any]() (v T) {
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		v = reflect.New(t.Elem()).Interface().(T)
	}
	return v
}

func codecOf(p command.Participant) codec.Codec {
	if p.Codec == nil {
		return codec.JSON{}
	}
	return p.Codec
}

// undecodableError says that stored or received bytes cannot be read by this program.
type undecodableError struct{ err error }

func (e *undecodableError) Error() string { return e.err.Error() }
func (e *undecodableError) Unwrap() error { return e.err }
