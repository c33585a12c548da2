package sagatest

import (
	"tidings.example"
	"tidings.example/command"
)

// A Command is one that a saga has sent, and that the test answers. It may be answered late,
// after other things have happened, and more than once.
type Command[D any] struct {
	c           *Case[D]
	participant command.Participant
	m           tidings.Message
}

// Done answers with a success without a body.
func (m *Command[D]) Done() *Case[D] { m.c.t.Helper(); return m.Answer(command.Done()) }

// Reply answers with a success.
func (m *Command[D]) Reply(r command.Reply) *Case[D] {
	m.c.t.Helper()
	return m.Answer(command.Succeed(r))
}

// Refuse answers with a failure that is final.
func (m *Command[D]) Refuse(r command.Reply) *Case[D] {
	m.c.t.Helper()
	return m.Answer(command.Fail(r))
}

// Fail answers with a failure that may pass.
func (m *Command[D]) Fail(r command.Reply) *Case[D] {
	m.c.t.Helper()
	return m.Answer(command.FailRetryable(r))
}

// Answer answers as a handler of the participant does.
func (m *Command[D]) Answer(a command.Answer) *Case[D] {
	m.c.t.Helper()
	reply, err := a.Message(m.participant, &m.m)
	if err != nil {
		m.c.t.Fatalf("sagatest: %v", err)
	}
	m.c.take(&reply)
	return m.c
}

// Message is the command as it was sent.
func (m *Command[D]) Message() tidings.Message { return m.m }
