package saga

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/saga/machine"
)

// carry carries out one output of the machine.
func (u *unit[Tx]) carry(ctx context.Context, o *open, output machine.Output) error {
	switch out := output.(type) {
	case machine.RunLocal:
		ran, err := u.runLocal(ctx, o, out)
		if err != nil {
			return err
		}
		u.later(o, ran)
	case machine.Decide:
		u.later(o, machine.Answered{Step: out.Step, Holds: o.def.holds(o.data, out.Step), Until: o.def.until(o.data, out.Step, u.at)})
	case machine.Send:
		return u.send(o, out)
	case machine.StartChild:
		return u.startChild(o, out)
	case machine.UndoChild:
		return u.undoChild(ctx, o, out)
	case machine.Record:
		o.journal = append(o.journal, out.Entry)
		if u.m.cfg.Observer != nil {
			u.m.cfg.Observer.Recorded(o.Ref, out.Entry)
		}
	case machine.Finished:
		return u.finish(ctx, o, out.State)
	default:
		return fmt.Errorf("the machine asks for an unknown %T", output)
	}
	return nil
}

// send adds a command of a step to what the unit sends.
func (u *unit[Tx]) send(o *open, out machine.Send) error {
	t := out.Token
	participant, c, err := o.def.command(o.data, t.Step, t.Undo)
	if err != nil {
		return err
	}
	step := o.plan.Find(t.Step)
	options := []command.Option{command.Key(o.ID), command.ForSaga(command.Saga{Type: o.Type, ID: o.ID}, t.String()),
		command.ID(commandID(o.Ref, o.Started, out)), command.Headers(o.state.Headers)}
	if t.Undo || step.Kind == machine.Command {
		options = append(options, command.ReplyTo(u.m.ReplyChannel(), o.ID))
	}
	if t.Undo || step.Retry.Attempts > 1 || o.state.Forward {
		options = append(options, command.Repeatable())
	}
	message, err := command.Message(participant, c, options...)
	if err != nil {
		return fmt.Errorf("saga %s %q: step %q: %w", o.Type, o.ID, t.Step, err)
	}
	u.messages = append(u.messages, message)
	return nil
}

// commandID names a command of a saga: the same for all attempts at it, until a
// final failure, which the participant remembers for the id. The time of the start tells a saga from an
// earlier one of the same id. No step's name has a colon.
func commandID(ref Ref, started time.Time, out machine.Send) string {
	id := ref.Type + "/" + ref.ID + "@" + strconv.FormatInt(started.UnixMicro(), 36) + "/" + out.Token.Step
	if out.Token.Undo {
		id += "/undo"
	}
	if out.Round > 0 {
		id += ":" + strconv.Itoa(out.Round+1)
	}
	return id
}

// child names the child saga of an attempt at a step.
func (o *open) child(step string, attempt int) Ref {
	id := o.ID + "/" + step
	if attempt > 1 {
		id += "/" + strconv.Itoa(attempt)
	}
	return Ref{Type: o.plan.Find(step).Type, ID: id}
}

func (u *unit[Tx]) startChild(o *open, out machine.StartChild) error {
	ref := o.child(out.Step, out.Attempt)
	if err := validateID(ref.ID); err != nil {
		return fmt.Errorf("saga %s %q: step %q: %w", o.Type, o.ID, out.Step, err)
	}
	child := u.create(ref, u.m.definitions[ref.Type], o.def.child(o.data, out.Step))
	child.state.Headers = o.state.Headers
	child.state.Parent = &parent{Type: o.Type, ID: o.ID, Step: out.Step, Attempt: out.Attempt}
	u.later(child, machine.Started{})
	return nil
}

func (u *unit[Tx]) undoChild(ctx context.Context, o *open, out machine.UndoChild) error {
	child, err := u.load(ctx, o.child(out.Step, out.Attempt))
	if err != nil {
		return err
	}
	switch {
	case child == nil:
		// It was never started, or somebody has removed it: there is nothing to undo.
		u.later(o, machine.ChildEnded{Step: out.Step, Attempt: out.Attempt, State: machine.Compensated})
	case child.state.State.Ended() && child.state.State != machine.Completed:
		u.later(o, machine.ChildEnded{Step: out.Step, Attempt: out.Attempt, State: child.state.State, Error: child.state.Error})
	case child.broken != nil:
		// Nobody can undo it now; the parent is stuck until both are mended.
		u.later(o, machine.ChildEnded{Step: out.Step, Attempt: out.Attempt, State: machine.Failed, Error: child.broken.Error()})
	default:
		child.Ended = time.Time{}
		u.later(child, machine.Requested{Op: machine.Compensate, Parent: true, Actor: "saga",
			Reason: "compensated with saga " + o.Type + " " + strconv.Quote(o.ID)})
	}
	return nil
}

// finish releases what was locked for a saga, and tells its parent and those who wait for it.
func (u *unit[Tx]) finish(ctx context.Context, o *open, state machine.State) error {
	o.Ended = u.at
	if u.m.cfg.Observer != nil {
		u.m.cfg.Observer.Ended(o.Ref, state, u.at.Sub(o.Started))
	}
	u.lockUnheard(o)
	u.unlock(o)
	u.ended = append(u.ended, o.Ref)
	p := o.state.Parent
	if p == nil {
		return nil
	}
	above, err := u.load(ctx, Ref{p.Type, p.ID})
	if err != nil || above == nil {
		return err
	}
	if err := u.tellParent(above, o, p.Step, p.Attempt); err != nil {
		return err
	}
	u.later(above, machine.ChildEnded{Step: p.Step, Attempt: p.Attempt, State: state, Error: o.state.Error})
	return nil
}

// tellParent takes the data of a child that has completed into that of its parent, where
// the parent waits for it.
func (u *unit[Tx]) tellParent(above, child *open, step string, attempt int) error {
	st := above.state.Steps[step]
	if child.state.State != machine.Completed || above.broken != nil || child.broken != nil || st.Phase != machine.Active || st.Attempt != attempt {
		return nil
	}
	if err := above.def.childEnded(above.data, step, child.data); err != nil {
		return fmt.Errorf("saga %s %q: %w", above.Type, above.ID, err)
	}
	return nil
}

// lock remembers that a participant has locked something for the saga.
func (o *open) lock(p command.Participant) {
	if l := (locking{p.Name, p.Channel}); !slices.Contains(o.state.Locking, l) {
		o.state.Locking = append(o.state.Locking, l)
	}
}

// lockUnheard takes participants for locked that may have locked something and have not said
// so: they were only told, or have not answered yet.
func (u *unit[Tx]) lockUnheard(o *open) {
	for name, st := range o.state.Steps {
		if len(st.Open) == 0 && len(st.UndoOpen) == 0 && st.Kind != machine.Notify {
			continue
		}
		if p, ok := o.def.participant(name); ok {
			o.lock(p)
		}
	}
}

// unlock sends the end of the saga to all participants that have locked something for it. It
// goes the way of the saga's commands, behind them.
func (u *unit[Tx]) unlock(o *open) {
	for _, l := range o.state.Locking {
		u.messages = append(u.messages, unlockMessage(o, l))
	}
	o.state.Locking = nil
}

func unlockMessage(o *open, l locking) tidings.Message {
	m := command.Unlock(command.Participant{Name: l.Name, Channel: l.Channel}, command.Saga{Type: o.Type, ID: o.ID})
	for name, value := range o.state.Headers {
		m.Headers[name] = value
	}
	return m
}
