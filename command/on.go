package command

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"tidings.example"
)

// A Handler does what a command asks for, in the transaction tx, and answers it.
// It may be called again for the same command after tx was rolled back, so effects
// belong in tx. An error rolls tx back and is retried as the inbox says; one that is
// retried in vain, or permanent, is answered with [FailureRejected] and the error's
// text. To refuse for a reason of the business, answer with [Fail].
type Handler[Tx any, C Command] func(ctx context.Context, tx Tx, c Of[C]) (Answer, error)

// A HandlerOption changes how the handler of a C is registered.
type HandlerOption[C Command] func(*registration[C])

type registration[C Command] struct {
	target func(C) string
	locks  bool
	err    error
}

// Locking locks a target, such as "Ticket/99", for the saga that sends the command, until
// that saga ends. A command of another saga for the target is set aside and
// waits. Names have 1 to 255 bytes; "" stands for no target. A command that no saga
// sends waits for the target and locks nothing.
func Locking[C Command](target func(C) string) HandlerOption[C] { return locking(target, true) }

// Respecting waits for a target that another saga has locked, and locks nothing.
func Respecting[C Command](target func(C) string) HandlerOption[C] { return locking(target, false) }

func locking[C Command](target func(C) string, locks bool) HandlerOption[C] {
	return func(r *registration[C]) {
		if target == nil || r.target != nil {
			r.err = fmt.Errorf("give one function that names the target")
		}
		r.target, r.locks = target, locks
	}
}

// On registers the handler for one type of a participant's commands. All handlers
// of a receiver are registered before its inbox runs. A type registered twice and
// an invalid name are reported by [Receiver.Inbox] and [Receiver.Err].
//
// Commands that have no header with a participant's name are taken as ones for
// the participant of the channel, if it has only one.
func On[Tx any, C Command](r *Receiver[Tx], p Participant, handler func(ctx context.Context, tx Tx, c Of[C]) (Answer, error), options ...HandlerOption[C]) {
	if err := on(r, p, handler, options); err != nil {
		r.errs = append(r.errs, err)
	}
}

func on[Tx any, C Command](r *Receiver[Tx], p Participant, handler Handler[Tx, C], options []HandlerOption[C]) error {
	if reflect.TypeFor[C]().Kind() == reflect.Interface {
		return fmt.Errorf("handler for %s: %s is not the type of a command", p.Name, reflect.TypeFor[C]())
	}
	zero, _ := newOf[C]()
	name := zero.CommandType()
	var reg registration[C]
	for _, option := range options {
		option(&reg)
	}
	err := reg.err
	switch {
	case err != nil:
	case handler == nil:
		err = fmt.Errorf("it is nil")
	case name == TypeUnlock:
		err = fmt.Errorf("the type is Tidings' own")
	default:
		_, err = Message(p, nameOnly(name))
	}
	if err != nil {
		return fmt.Errorf("handler for %s of %s: %w", name, p.Name, err)
	}
	return r.add(p, name, route[Tx]{prepare: prepare(p, handler, reg), participant: p})
}

// nameOnly is a command that has nothing but its name, to check that.
type nameOnly string

func (n nameOnly) CommandType() string { return string(n) }

func (r *Receiver[Tx]) add(p Participant, commandType string, handle route[Tx]) error {
	of := participantKey{p.Channel, p.Name}
	key := routeKey{of, commandType}
	if _, ok := r.routes[key]; ok {
		return fmt.Errorf("type %s of participant %s has two handlers", commandType, p.Name)
	}
	if other, ok := r.named[p.Name]; ok && other.Channel != p.Channel {
		return fmt.Errorf("participant %s has two channels, %s and %s", p.Name, other.Channel, p.Channel)
	}
	r.routes[key], r.participants[of], r.named[p.Name] = handle, p, p
	if !slices.Contains(r.channels, p.Channel) {
		r.channels = append(r.channels, p.Channel)
	}
	return nil
}

// A route handles commands of one type.
type route[Tx any] struct {
	participant Participant
	// prepare decodes a command; its error says why it cannot.
	prepare func(m *tidings.Message) (prepared[Tx], error)
}

// prepared is a decoded command.
type prepared[Tx any] struct {
	target string
	locks  bool
	run    func(ctx context.Context, tx Tx, a ask) (Answer, error)
}

func prepare[Tx any, C Command](p Participant, handler Handler[Tx, C], reg registration[C]) func(m *tidings.Message) (prepared[Tx], error) {
	encoding := p.codecOrJSON()
	return func(m *tidings.Message) (d prepared[Tx], err error) {
		zero, isPointer := newOf[C]()
		c := Of[C]{Data: zero, Message: m}
		var target any = &c.Data
		if isPointer {
			target = c.Data
		}
		if err := encoding.Decode(m.ContentType, m.Payload, target); err != nil {
			return d, fmt.Errorf("decode %s: %w", m.Type, err)
		}
		if reg.target != nil {
			d.target, d.locks = reg.target(c.Data), reg.locks
		}
		d.run = func(ctx context.Context, tx Tx, a ask) (Answer, error) {
			c.ask, c.ID, c.Saga = a, a.CommandID, a.saga()
			return handler(ctx, tx, c)
		}
		return d, nil
	}
}
