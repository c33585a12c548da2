package commandtest

import (
	"context"

	"tidings.example"
	"tidings.example/command"
)

// replies is the channel that commands of tests ask to reply to.
const replies = "commandtest.replies"

// Sent is a command to a participant.
type Sent struct {
	participant command.Participant
	command     command.Command
	options     []command.Option
}

// Of is a command to a participant. It asks for a reply, unless options say otherwise: [command.ForSaga] names
// the saga that it is for, which locks are held for.
func Of(p command.Participant, c command.Command, options ...command.Option) Sent {
	return Sent{p, c, append([]command.Option{command.ReplyTo(replies, "commandtest")}, options...)}
}

// Notification is a command that nobody wants a reply to.
func Notification(p command.Participant, c command.Command) Sent {
	return Sent{participant: p, command: c}
}

func (c *Case[Tx]) message(s Sent, more ...command.Option) tidings.Message {
	c.t.Helper()
	c.codecs[s.participant.Name] = s.participant.Codec
	m, err := command.Message(s.participant, s.command, append(append([]command.Option{}, s.options...), more...)...)
	if err != nil {
		c.t.Fatalf("commandtest: %v", err)
	}
	return m
}

// Given sends commands that the test takes for granted: none may be refused or
// fail, and what is replied is forgotten.
func (c *Case[Tx]) Given(commands ...Sent) *Case[Tx] {
	c.t.Helper()
	c.begin()
	for _, s := range commands {
		m := c.message(s)
		c.send(m, nil)
	}
	if c.err != nil {
		c.t.Fatalf("given %s: %v", describe(c.sent), c.err)
	}
	for i := range c.replies {
		if c.replies[i].Headers[command.HeaderOutcome] != command.OutcomeSuccess {
			c.t.Fatalf("given %s: %s", describe(c.sent), describe(c.replies[i:i+1]))
		}
	}
	c.asked = true
	return c
}

// When sends a command.
func (c *Case[Tx]) When(s Sent) *Case[Tx] {
	c.t.Helper()
	c.begin()
	c.send(c.message(s), nil)
	return c
}

// WhenRetried sends a command whose transaction is rolled back at its end, and then comes
// again, as after a kill. What the handler does outside its transaction is done twice.
func (c *Case[Tx]) WhenRetried(s Sent) *Case[Tx] {
	c.t.Helper()
	c.begin()
	m := c.message(s)
	c.send(m, errRolledBack)
	if c.err == errRolledBack {
		c.err = nil
		c.send(m, nil)
	}
	return c
}

// WhenRepeated sends a command twice, as two messages with one command id, as a saga does that has
// not heard of the first in time. The second is answered from memory, where it succeeded, and not handled: one reply
// each.
func (c *Case[Tx]) WhenRepeated(s Sent) *Case[Tx] {
	c.t.Helper()
	c.begin()
	id := command.ID(tidings.NewID())
	for range 2 {
		if c.err == nil {
			c.send(c.message(s, id, command.Repeatable()), nil)
		}
	}
	return c
}

// WhenEnds ends a saga that has locked something at a participant: commands that
// wait for it are handled.
func (c *Case[Tx]) WhenEnds(p command.Participant, saga command.Saga) *Case[Tx] {
	c.t.Helper()
	c.begin()
	m := command.Unlock(p, saga)
	m.ID = tidings.NewID()
	c.send(m, nil)
	return c
}

// WhenDone runs what is not a handler in a transaction, such as an answer to a command that was put off.
func (c *Case[Tx]) WhenDone(fn func(ctx context.Context, tx Tx) error) *Case[Tx] {
	c.t.Helper()
	c.begin()
	c.err = c.transact(nil, fn)
	c.asked = false
	return c
}

// begin forgets what was before, after it has been looked at.
func (c *Case[Tx]) begin() {
	c.t.Helper()
	c.settle()
	c.sent, c.replies, c.others, c.commands, c.asked = nil, nil, nil, 0, true
}

func (c *Case[Tx]) send(m tidings.Message, end error) {
	c.t.Helper()
	if m.ID == "" {
		m.ID = tidings.NewID()
	}
	m.Source = "commandtest"
	c.sent = append(c.sent, m)
	if c.err == nil {
		c.err = c.deliver(&m, end)
	}
	if end == nil && m.Type != command.TypeUnlock {
		c.commands++
	}
	c.asked = false
}
