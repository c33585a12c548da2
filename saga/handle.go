package saga

import (
	"context"
	"errors"
	"fmt"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/event"
	"tidings.example/inbox"
	"tidings.example/saga/machine"
)

// Handle is the manager as the handler of an inbox made by hand: it takes a reply, or an event that
// a step waits for. Run does that by itself.
func (m *Manager[Tx]) Handle(ctx context.Context, tx Tx, msg *tidings.Message) error {
	u := m.unit(tx)
	err := m.take(ctx, u, msg)
	if err == nil {
		err = u.save(ctx)
	}
	if err == nil && len(u.ended) > 0 && !inbox.AfterCommit(ctx, func() { m.waiters.tell(u.ended) }) {
		m.waiters.tell(u.ended) // those who look too early look again
	}
	var failed *localError
	var undefined *undefinedError
	switch {
	case errors.As(err, &failed):
		// The next try records the failure, and waits as the step's Retry says.
		return inbox.Transient(err)
	case errors.As(err, &undefined), errors.Is(err, ErrConflict):
		// Another process, or the next version of this one, can.
		return inbox.Transient(err)
	}
	return err
}

func (m *Manager[Tx]) take(ctx context.Context, u *unit[Tx], msg *tidings.Message) error {
	if msg.Channel == m.ReplyChannel() {
		return m.takeReply(ctx, u, msg)
	}
	aggregate := msg.Headers[event.HeaderAggregateType]
	for _, a := range m.awaited[eventKey{msg.Channel, msg.Type}] {
		if aggregate != "" && aggregate != a.aggregate.Name {
			continue
		}
		if err := m.takeEvent(ctx, u, a, msg); err != nil {
			return err
		}
	}
	return nil
}

// takeReply takes a participant's reply to the saga that it names.
func (m *Manager[Tx]) takeReply(ctx context.Context, u *unit[Tx], msg *tidings.Message) error {
	ref := Ref{msg.Headers[command.HeaderSagaType], msg.Headers[command.HeaderSagaID]}
	if ref.Type == "" || ref.ID == "" {
		m.unknown(ref, msg, "it names no saga")
		return nil
	}
	o, err := u.load(ctx, ref)
	if err != nil {
		return err
	}
	if o == nil {
		m.unknown(ref, msg, "there is no such saga")
		u.unlockUnknown(ref, msg)
		return nil
	}
	return m.replyTo(ctx, u, o, msg)
}

func (m *Manager[Tx]) replyTo(ctx context.Context, u *unit[Tx], o *open, msg *tidings.Message) error {
	reply, err := command.ParseReply(msg)
	if err != nil {
		return u.note(ctx, o, msg, err)
	}
	token, err := machine.ParseToken(reply.Step)
	if err != nil {
		return u.note(ctx, o, msg, err)
	}
	expected := machine.Expects(o.plan, &o.state.Instance, token) == machine.Expected
	if reply.Locked != "" {
		u.locked(o, token)
	}
	if o.broken != nil && !o.state.State.Ended() {
		o.state.Held = append(o.state.Held, *msg)
	} else if expected && !token.Undo {
		err := call(func() error { return o.def.reply(o.data, token.Step, msg.Type, msg.ContentType, msg.Payload) })
		if err != nil {
			// What it has changed before it failed must not stay.
			if o.data, o.broken = o.def.decode(o.Data); o.broken != nil {
				return o.broken
			}
			o.state.Held = append(o.state.Held, *msg)
			return u.happen(ctx, o, machine.Undecodable{Error: cut(err.Error(), maxError)})
		}
	}
	return u.happen(ctx, o, machine.Replied{Token: token, Success: reply.Success, Retryable: reply.Retryable,
		Error: cut(reply.Problem(), maxError), Message: msg.ID, Type: msg.Type})
}

// unlockUnknown gives back a lock that was taken for a saga which is gone.
func (u *unit[Tx]) unlockUnknown(ref Ref, msg *tidings.Message) {
	def, locked := u.m.definitions[ref.Type], msg.Headers[command.HeaderLocked]
	token, err := machine.ParseToken(msg.Headers[command.HeaderSagaStep])
	if def == nil || locked == "" || err != nil {
		return
	}
	if p, ok := def.participant(token.Step); ok {
		u.messages = append(u.messages, command.Unlock(p, command.Saga{Type: ref.Type, ID: ref.ID}))
	}
}

// locked notes that a participant holds a lock for the saga. Where the saga has
// ended already, the reply is late, and the lock is given back at once.
func (u *unit[Tx]) locked(o *open, t machine.Token) {
	participant, ok := o.def.participant(t.Step)
	if !ok {
		return
	}
	o.lock(participant)
	if o.state.State.Ended() {
		u.unlock(o)
		o.changed = true
	}
}

// note writes a reply that is none into the journal; the saga goes on waiting.
func (u *unit[Tx]) note(ctx context.Context, o *open, msg *tidings.Message, why error) error {
	u.m.cfg.Logger.Warn("saga got a message that is no reply", "saga", o.Type, "id", o.ID, "message", msg.ID, "error", why)
	return u.happen(ctx, o, machine.Replied{Token: machine.Token{Step: cut(msg.Headers[command.HeaderSagaStep], maxStep)},
		Error: cut(why.Error(), maxError), Message: msg.ID, Type: msg.Type})
}

// takeEvent takes an event to the saga that it is for.
func (m *Manager[Tx]) takeEvent(ctx context.Context, u *unit[Tx], a awaited, msg *tidings.Message) error {
	id, apply, err := a.decode(msg)
	if err != nil {
		return inbox.Permanent(err)
	}
	if id == "" {
		return nil
	}
	ref := Ref{a.sagaType, id}
	o, err := u.load(ctx, ref)
	if err != nil {
		return err
	}
	if o == nil {
		m.unknown(ref, msg, "there is no such saga")
		return nil
	}
	return u.signal(ctx, o, a.step, apply, msg)
}

// signal takes an event to a step, unless the step is behind it.
func (u *unit[Tx]) signal(ctx context.Context, o *open, step string, apply func(data any), msg *tidings.Message) error {
	if o.broken != nil && !o.state.State.Ended() {
		o.state.Held = append(o.state.Held, *msg)
	} else if machine.ExpectsEvent(o.plan, &o.state.Instance, step) == machine.Expected {
		if err := call(func() error { apply(o.data); return nil }); err != nil {
			return inbox.Permanent(fmt.Errorf("saga %s %q: step %q: %w", o.Type, o.ID, step, err))
		}
	}
	return u.happen(ctx, o, machine.Signaled{Step: step, Message: msg.ID, Type: msg.Type})
}

// unknown tells of a message for a saga that is not there: it was never started, or its
// row was removed. There is nobody to tell it to.
func (m *Manager[Tx]) unknown(ref Ref, msg *tidings.Message, why string) {
	m.cfg.Logger.Warn("message for an unknown saga", "saga", ref.Type, "id", ref.ID, "message", msg.ID, "type", msg.Type, "reason", why)
	if m.cfg.Observer != nil {
		m.cfg.Observer.Unknown(ref)
	}
}

// undefinedError says that a saga is of a type, or at a step, that this program
// does not know: while versions are exchanged, a process with the other may take it.
type undefinedError struct{ sagaType string }

func (e *undefinedError) Error() string {
	return fmt.Sprintf("saga %q cannot go on under the definitions of this program, which is older or newer than another that works on it", e.sagaType)
}
