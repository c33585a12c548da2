package saga

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"tidings.example/command"
	"tidings.example/saga/machine"
)

// A Request is what an operator asks of a saga, as it is stored as JSON until the
// running service carries it out.
type Request struct {
	Op machine.Op `json:"op"`
	// Step is the step that the request is about; it may be empty where only one is stuck or waited for.
	Step string `json:"step,omitempty"`
	// Success says, for Skip, whether the step counts as done or as refused.
	Success bool `json:"success,omitempty"`
	// ReplyType and Reply are, for Skip, the reply in whose stead the operator speaks; they may be empty.
	ReplyType string          `json:"replyType,omitempty"`
	Reply     json.RawMessage `json:"reply,omitempty"`
	Actor     string          `json:"actor"`
	Reason    string          `json:"reason"`
}

// request carries out what an operator has asked for.
func (m *Manager[Tx]) request(ctx context.Context, u *unit[Tx], o *open) error {
	var r Request
	err := json.Unmarshal(o.Request, &r)
	o.Request = nil
	if err != nil {
		return u.happen(ctx, o, machine.Requested{Reason: cut(fmt.Sprintf("the request cannot be read: %v", err), maxError)})
	}
	asked := machine.Requested{Op: r.Op, Step: r.Step, Success: r.Success, Actor: r.Actor, Reason: r.Reason}
	if r.Op == machine.Skip && r.ReplyType != "" && o.broken == nil && u.accepts(o, asked) {
		if err := m.replyByHand(o, &r); err != nil {
			// An operation that does not exist is noted, and changes nothing.
			asked.Op, asked.Reason = "", cut(err.Error(), maxError)
			return u.happen(ctx, o, asked)
		}
		asked.Step = r.Step
	}
	if err := u.happen(ctx, o, asked); err != nil {
		return err
	}
	if r.Op == machine.RetryNow && o.broken == nil {
		return m.replay(ctx, u, o)
	}
	return nil
}

// accepts reports whether a request would change anything: a reply that comes with one
// that is refused must not change the data.
func (u *unit[Tx]) accepts(o *open, asked machine.Requested) bool {
	after, _ := machine.Advance(o.plan, o.state.Instance, machine.Input{At: u.at, What: asked})
	return !maps.EqualFunc(after.Steps, o.state.Steps, func(a, b machine.StepState) bool { return a.Phase == b.Phase })
}

// replyByHand takes the operator's reply into the saga's data.
func (m *Manager[Tx]) replyByHand(o *open, r *Request) error {
	if r.Step == "" {
		active := machine.At(o.plan, &o.state.Instance)
		if len(active) != 1 {
			return fmt.Errorf("the saga is at %d steps: say which one to skip", len(active))
		}
		r.Step = active[0]
	}
	s := o.plan.Find(r.Step)
	if s == nil || s.Kind != machine.Command {
		return fmt.Errorf("step %q takes no reply", r.Step)
	}
	return call(func() error { return o.def.reply(o.data, r.Step, r.ReplyType, "", r.Reply) })
}

// replay takes the messages that came while the data could not be decoded.
func (m *Manager[Tx]) replay(ctx context.Context, u *unit[Tx], o *open) error {
	if err := u.askChildren(ctx, o); err != nil {
		return err
	}
	held := o.state.Held
	o.state.Held = nil
	for i := range held {
		msg := &held[i]
		if msg.Headers[command.HeaderSagaStep] != "" {
			if err := m.replyTo(ctx, u, o, msg); err != nil {
				return err
			}
			continue
		}
		for _, a := range m.awaited[eventKey{msg.Channel, msg.Type}] {
			if a.sagaType != o.Type {
				continue
			}
			id, apply, err := a.decode(msg)
			if err != nil || id != o.ID {
				continue
			}
			if err := u.signal(ctx, o, a.step, apply, msg); err != nil {
				return err
			}
		}
	}
	return nil
}

// askChildren takes the ends of child sagas that came while the data could not be decoded.
func (u *unit[Tx]) askChildren(ctx context.Context, o *open) error {
	for _, name := range machine.At(o.plan, &o.state.Instance) {
		st, step := o.state.Steps[name], o.plan.Find(name)
		attempt := st.Attempt
		switch {
		case step == nil || step.Kind != machine.Saga:
			continue
		case st.Phase == machine.Undoing:
			attempt = st.Sent
		case st.Phase != machine.Active:
			continue
		}
		child, err := u.load(ctx, o.child(name, attempt))
		if err != nil {
			return err
		}
		if child == nil || !child.state.State.Ended() || st.Phase == machine.Undoing && child.state.State == machine.Completed {
			continue
		}
		if err := u.tellParent(o, child, name, attempt); err != nil {
			return err
		}
		if err := u.happen(ctx, o, machine.ChildEnded{Step: name, Attempt: attempt, State: child.state.State, Error: child.state.Error}); err != nil {
			return err
		}
	}
	return nil
}
