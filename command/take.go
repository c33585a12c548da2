package command

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/inbox"
)

// ask returns who asks and of which participant. known is false where the receiver
// has no handlers for that.
func (r *Receiver[Tx]) ask(m *tidings.Message) (a ask, p Participant, known bool) {
	a = askOf(m)
	if a.Participant == "" {
		a.Participant = r.only(m.Channel)
	}
	p, known = r.participants[participantKey{m.Channel, a.Participant}]
	return a, p, known
}

// only returns the participant of a channel that has one, else "".
func (r *Receiver[Tx]) only(channel string) (name string) {
	for key := range r.participants {
		switch {
		case key.channel != channel:
		case name != "":
			return ""
		default:
			name = key.name
		}
	}
	return name
}

// take handles a command in tx. waited is the target that it has waited for, nil
// for one that has just come. It reports whether the command must wait on where it
// waits; one that has just come, or now needs another target, is set aside instead.
func (r *Receiver[Tx]) take(ctx context.Context, tx Tx, m *tidings.Message, waited *Target) (waits bool, err error) {
	a, p, known := r.ask(m)
	if err := a.check(); err != nil {
		return false, inbox.Permanent(fmt.Errorf("command %s: %w", m.Type, err))
	}
	if !known {
		return false, r.unknown(ctx, tx, m, &a)
	}
	if a.Repeatable {
		if settled, err := r.recall(ctx, tx, &a); err != nil || settled {
			return false, err
		}
	}
	route, ok := r.routes[routeKey{participantKey{p.Channel, p.Name}, m.Type}]
	if !ok {
		return false, r.unhandled(ctx, tx, m, &a, p, fmt.Sprintf("participant %s has no handler for commands of type %s", p.Name, m.Type))
	}
	c, err := route.prepare(m)
	if err != nil {
		if !a.wanted() {
			return false, inbox.Permanent(err)
		}
		r.log(slog.LevelWarn, "command cannot be decoded", m, "error", err)
		return false, r.settle(ctx, tx, &a, p, fails(FailureUndecodable, "%v", err))
	}
	if c.target != "" {
		turn := waited != nil && *waited == Target{Participant: a.Participant, Name: c.target}
		free, err := r.reach(ctx, tx, &a, c, turn)
		switch {
		case err != nil:
			return false, err
		case !free && turn:
			return true, nil
		case !free:
			return false, r.setAside(ctx, tx, m, &a, c.target)
		}
	}
	answer, err := c.run(ctx, tx, a)
	if err != nil {
		return false, err
	}
	return false, r.settle(ctx, tx, &a, p, answer)
}

// unknown is for commands of participants that the receiver has no handlers for.
func (r *Receiver[Tx]) unknown(ctx context.Context, tx Tx, m *tidings.Message, a *ask) error {
	if r.elsewhere[participantKey{m.Channel, a.Participant}] {
		return nil
	}
	why := fmt.Sprintf("channel %s has no participant %q", m.Channel, a.Participant)
	if a.Participant == "" {
		why = fmt.Sprintf("channel %s has several participants, and the message has no header %q", m.Channel, HeaderParticipant)
	}
	return r.unhandled(ctx, tx, m, a, Participant{}, why)
}

// unhandled answers that nobody handles a command, if somebody wants to know.
func (r *Receiver[Tx]) unhandled(ctx context.Context, tx Tx, m *tidings.Message, a *ask, p Participant, why string) error {
	r.skipped.add(Skip{Channel: m.Channel, Participant: a.Participant, Type: m.Type})
	r.log(slog.LevelWarn, "command without a handler", m, "reason", why)
	if !a.wanted() {
		return nil
	}
	return r.settle(ctx, tx, a, p, fails(FailureUnhandled, "%s", why))
}

// settle remembers an answer where that is needed and sends it where somebody wants it.
func (r *Receiver[Tx]) settle(ctx context.Context, tx Tx, a *ask, p Participant, answer Answer) error {
	if answer.kind == deferred {
		if a.Repeatable {
			return r.remember(ctx, tx, a, false, &tidings.Message{ID: tidings.NewID(), Type: typeLater, ContentType: "application/json"})
		}
		return nil
	}
	reply, err := answer.message(a, p.codecOrJSON())
	if err != nil {
		return inbox.Permanent(fmt.Errorf("command %s: %w", a.CommandID, err))
	}
	if a.Repeatable && !answer.retryable && p.Name != "" {
		if err := r.remember(ctx, tx, a, false, &reply); err != nil {
			return err
		}
	}
	return r.reply(ctx, tx, a, reply)
}

// reply sends a reply to those who want it.
func (r *Receiver[Tx]) reply(ctx context.Context, tx Tx, a *ask, reply tidings.Message) error {
	if !a.wanted() {
		if reply.Headers[HeaderOutcome] == OutcomeFailure {
			r.cfg.logger.Warn("a command failed that nobody waits for", "receiver", r.name, "participant", a.Participant,
				"command", a.CommandID, "reply", reply.Type)
		}
		return nil
	}
	if err := r.outbox.Append(ctx, tx, reply); err != nil {
		return permanentIfInvalid(fmt.Errorf("reply to command %s: %w", a.CommandID, err))
	}
	return nil
}

// reach reports whether a command may go on with its target, and locks it.
func (r *Receiver[Tx]) reach(ctx context.Context, tx Tx, a *ask, c prepared[Tx], turn bool) (free bool, err error) {
	if len(c.target) > maxTarget || !isText(c.target) {
		return false, inbox.Permanent(fmt.Errorf("command %s: its target %.100q is not text of at most %d bytes", a.CommandID, c.target, maxTarget))
	}
	var owner Saga
	if c.locks {
		owner = a.saga()
	}
	free, err = r.lock(ctx, tx, Target{Participant: a.Participant, Name: c.target}, owner, a.saga(), turn)
	if err != nil {
		return false, fmt.Errorf("lock %s of %s: %w", c.target, a.Participant, err)
	}
	if free && owner != (Saga{}) {
		a.Locked = c.target
	}
	return free, nil
}

// setAside makes a command wait for its target, behind those that wait already.
func (r *Receiver[Tx]) setAside(ctx context.Context, tx Tx, m *tidings.Message, a *ask, target string) error {
	r.log(slog.LevelInfo, "command set aside", m, "target", target)
	if err := r.store.SetAside(ctx, tx, Target{Participant: a.Participant, Name: target}, m, r.cfg.now()); err != nil {
		return fmt.Errorf("set aside a command for %s of %s: %w", target, a.Participant, err)
	}
	return nil
}

// isText reports whether s can be sent in a header.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// lock reports whether a command of saga may go on with a target, and locks it
// for owner, if that is not zero. turn says that nothing waits for it before this command.
func (r *Receiver[Tx]) lock(ctx context.Context, tx Tx, target Target, owner, saga Saga, turn bool) (free bool, err error) {
	if !turn {
		// Where commands wait for a target that nobody has locked any more, they come first.
		// The lock of another transaction is waited for before it is looked who waits.
		first, err := r.store.FirstAside(ctx, tx, target)
		if err != nil {
			return false, err
		}
		if first != nil {
			l, err := r.store.Lock(ctx, tx, target, Saga{}, r.cfg.now())
			if err != nil {
				return false, err
			}
			if l.Owner != (Saga{}) {
				return l.Owner == saga, nil
			}
			if first, err = r.store.FirstAside(ctx, tx, target); err != nil || first != nil {
				return false, err
			}
		}
	}
	l, err := r.store.Lock(ctx, tx, target, owner, r.cfg.now())
	return l.Owner == (Saga{}) || l.Owner == saga, err
}

func (r *Receiver[Tx]) log(level slog.Level, msg string, m *tidings.Message, args ...any) {
	if !r.cfg.logger.Enabled(context.Background(), level) {
		return
	}
	args = append(args, "receiver", r.name, "channel", m.Channel, "type", m.Type, "id", m.ID, "participant", m.Headers[HeaderParticipant],
		"command", m.Headers[HeaderCommandID], "saga", m.Headers[HeaderSagaID])
	r.cfg.logger.Log(context.Background(), level, msg, args...)
}
