package commandtest

import (
	"fmt"
	"strings"

	"tidings.example"
	"tidings.example/command"
)

// Class says what an inbox does about an error.
type Class string

// The classes of errors. In the end the participant answers with [command.FailureRejected].
const (
	// Permanent: it is answered at once.
	Permanent Class = "permanent"
	// Transient: the command is tried until it succeeds.
	Transient Class = "transient"
	// Limited: it is tried as often as the inbox is told to. Panics are Limited.
	Limited Class = "limited"
)

// ThenDone demands that the last When was answered with a success without a
// body, as often as it was sent; so do the other demands for replies. After [Case.WhenEnds] and
// [Case.WhenDone] there must be one reply or more, all alike.
func (c *Case[Tx]) ThenDone() *Case[Tx] { c.t.Helper(); return c.then(command.Done()) }

// ThenReplied demands a success with this reply.
func (c *Case[Tx]) ThenReplied(r command.Reply) *Case[Tx] {
	c.t.Helper()
	return c.then(command.Succeed(r))
}

// ThenRefused demands a failure with this reply.
func (c *Case[Tx]) ThenRefused(r command.Reply) *Case[Tx] {
	c.t.Helper()
	return c.then(command.Fail(r))
}

// ThenFailedForNow demands a failure with this reply that may pass.
func (c *Case[Tx]) ThenFailedForNow(r command.Reply) *Case[Tx] {
	c.t.Helper()
	return c.then(command.FailRetryable(r))
}

// ThenNoReply demands that the last When was handled and not answered: the command was put off, or waits for a lock,
// or nobody wants a reply.
func (c *Case[Tx]) ThenNoReply() *Case[Tx] {
	c.t.Helper()
	if c.look() && len(c.replies) > 0 {
		c.t.Errorf("replied:\n%swant no reply", describe(c.replies))
	}
	return c
}

// ThenFails demands that the handler has failed with an error of this class, and
// returns the error. What it has done is rolled back.
func (c *Case[Tx]) ThenFails(class Class) error {
	c.t.Helper()
	err := c.err
	c.err, c.asked = nil, true
	switch {
	case err == nil:
		c.t.Errorf("handled without an error, want one that is %s; replied:\n%s", class, describe(c.replies))
	case c.classify(err) != class:
		c.t.Errorf("failed with an error that is %s, want %s: %v", c.classify(err), class, err)
	}
	return err
}

// Replies are those to the last When.
func (c *Case[Tx]) Replies() []command.Replied {
	c.t.Helper()
	c.look()
	all := make([]command.Replied, len(c.replies))
	for i := range c.replies {
		var err error
		if all[i], err = command.ParseReply(&c.replies[i]); err != nil {
			c.t.Fatalf("commandtest: %v", err)
		}
	}
	return all
}

// Messages are what the last When has published besides replies.
func (c *Case[Tx]) Messages() []tidings.Message { return c.others }

// then compares the replies with an answer.
func (c *Case[Tx]) then(a command.Answer) *Case[Tx] {
	c.t.Helper()
	if !c.look() {
		return c
	}
	if n := len(c.replies); n == 0 || c.commands > 0 && n != c.commands {
		c.t.Errorf("%d replies to %d commands:\n%s", n, c.commands, describe(c.replies))
		return c
	}
	for i := range c.replies {
		got := &c.replies[i]
		want, err := a.Message(c.asker(got))
		if err != nil {
			c.t.Fatalf("commandtest: %v", err)
		}
		if !equal(got, &want) {
			c.t.Errorf("replied:\n%swant:\n%s", describe(c.replies[i:i+1]), describe([]tidings.Message{want}))
		}
	}
	return c
}

// asker is a command of the kind that a reply answers.
func (c *Case[Tx]) asker(reply *tidings.Message) (command.Participant, *tidings.Message) {
	name := reply.Headers[command.HeaderParticipant]
	return command.Participant{Name: name, Codec: c.codecs[name]}, &tidings.Message{Headers: tidings.Headers{
		command.HeaderReplyChannel: replies, command.HeaderCommandID: reply.Headers[command.HeaderCommandID]}}
}

// look reports whether the last When has succeeded; what it has replied counts as looked at.
func (c *Case[Tx]) look() bool {
	c.t.Helper()
	c.asked = true
	if c.err != nil {
		c.t.Errorf("%s: %v (%s)", strings.TrimSpace(describe(c.sent)), c.err, c.classify(c.err))
		c.err = nil
		return false
	}
	return true
}

// settle reports what the test has not asked about.
func (c *Case[Tx]) settle() {
	c.t.Helper()
	switch {
	case c.err != nil:
		c.look()
	case !c.asked && len(c.replies) > 0:
		c.t.Errorf("nobody asked what was replied:\n%s", describe(c.replies))
	}
	c.asked = true
}

func equal(a, b *tidings.Message) bool {
	for _, name := range []string{command.HeaderOutcome, command.HeaderRetryable, command.HeaderFailure} {
		if a.Headers[name] != b.Headers[name] {
			return false
		}
	}
	return a.Type == b.Type && string(a.Payload) == string(b.Payload)
}

// describe is messages, one line each.
func describe(ms []tidings.Message) string {
	if len(ms) == 0 {
		return "  nothing\n"
	}
	var b strings.Builder
	for i := range ms {
		m := &ms[i]
		what := m.Headers[command.HeaderOutcome]
		if m.Headers[command.HeaderRetryable] == "true" {
			what += " that may pass"
		}
		fmt.Fprintf(&b, "  %s %s\n", strings.TrimSpace(what+" "+m.Type), m.Payload)
	}
	return b.String()
}
