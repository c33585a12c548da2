package commandtest

import (
	"fmt"
	"reflect"
	"strings"

	"tidings.example"
	"tidings.example/codec"
	"tidings.example/command"
)

// ThenReplied expects that each command was answered with this success.
func (c *Case[Tx]) ThenReplied(want command.Reply) *Case[Tx] {
	c.t.Helper()
	c.then(want, "success")
	return c
}

// ThenDone expects that each command was answered with a success without a body.
func (c *Case[Tx]) ThenDone() *Case[Tx] {
	c.t.Helper()
	c.then(nil, "success")
	return c
}

// ThenRefused expects that each command was answered with this failure, which is final.
func (c *Case[Tx]) ThenRefused(want command.Reply) *Case[Tx] {
	c.t.Helper()
	c.then(want, "failure")
	return c
}

// ThenFailedForNow expects that each command was answered with this failure, which may pass.
func (c *Case[Tx]) ThenFailedForNow(want command.Reply) *Case[Tx] {
	c.t.Helper()
	c.then(want, "failure that may pass")
	return c
}

// ThenNoReply expects that nothing was answered: the answer comes later, the command
// waits for what another saga has locked, or nobody wants to know.
func (c *Case[Tx]) ThenNoReply() *Case[Tx] {
	c.t.Helper()
	if c.went() && len(c.replies) > 0 {
		c.t.Errorf("replied:\n%s\nwant no reply", describe(c.replies))
	}
	return c
}

// ThenFails expects that the handler has failed with an error of this class.
func (c *Case[Tx]) ThenFails(want Class) *Case[Tx] {
	c.t.Helper()
	err := c.err
	c.err, c.asked = nil, true
	switch {
	case err == nil:
		c.t.Errorf("there was no error, want one that is %s", want)
	case c.classify(err) != want:
		c.t.Errorf("the error is %s, want %s: %v", c.classify(err), want, err)
	}
	return c
}

// Replies returns what was answered since the last Given or When.
func (c *Case[Tx]) Replies() []command.Replied {
	c.t.Helper()
	c.asked = true
	var all []command.Replied
	for i := range c.replies {
		r, err := command.ParseReply(&c.replies[i])
		if err != nil {
			c.t.Fatalf("commandtest: %v", err)
		}
		r.Codec = c.codecs[r.Participant]
		all = append(all, r)
	}
	return all
}

// Messages returns what else was sent since the last Given or When: events, and commands to others.
func (c *Case[Tx]) Messages() []tidings.Message { return c.others }

// went reports whether nothing has failed, and fails the test otherwise.
func (c *Case[Tx]) went() bool {
	c.t.Helper()
	c.asked = true
	if c.err == nil {
		return true
	}
	c.t.Errorf("%s: %v (%s)", strings.TrimSpace(describe(c.sent)), c.err, c.classify(c.err))
	c.err = nil
	return false
}

// settle fails the test for what nobody has asked about.
func (c *Case[Tx]) settle() {
	c.t.Helper()
	asked := c.asked
	if c.went() && !asked && len(c.replies) > 0 {
		c.t.Errorf("nobody asked what was replied:\n%s", describe(c.replies))
	}
}

// then compares all replies with one; nil is one without a body.
func (c *Case[Tx]) then(want command.Reply, outcome string) {
	c.t.Helper()
	if !c.went() {
		return
	}
	if c.commands > 0 && len(c.replies) != c.commands || len(c.replies) == 0 {
		c.t.Errorf("%d replies to %d commands:\n%s", len(c.replies), c.commands, describe(c.replies))
		return
	}
	expected := message(want, outcome, c.codecs, c.replies[0].Headers[command.HeaderParticipant])
	for i := range c.replies {
		if c.same(&c.replies[i], want, outcome) {
			continue
		}
		c.t.Errorf("replied:\n%s\nwant:\n  %s", describe(c.replies[i:i+1]), expected)
		return
	}
}

// same reports whether a reply is the one that is wanted, after decoding it.
func (c *Case[Tx]) same(m *tidings.Message, want command.Reply, outcome string) bool {
	c.t.Helper()
	if want == nil {
		return m.Type == command.TypeDone && outcomeOf(m) == outcome
	}
	if m.Type != want.ReplyType() || outcomeOf(m) != outcome {
		return false
	}
	got := reflect.New(reflect.TypeOf(want))
	if err := codecOf(c.codecs, m.Headers[command.HeaderParticipant]).Decode(m.ContentType, m.Payload, got.Interface()); err != nil {
		c.t.Errorf("decode reply %s: %v", m.Type, err)
		return false
	}
	return reflect.DeepEqual(got.Elem().Interface(), want)
}

// message describes a reply that is wanted as describe does one that came.
func message(want command.Reply, outcome string, codecs map[string]codec.Codec, participant string) string {
	if want == nil {
		return outcome + " " + command.TypeDone
	}
	payload, err := codecOf(codecs, participant).Encode(want)
	if err != nil {
		return fmt.Sprintf("%s %s that cannot be encoded: %v", outcome, want.ReplyType(), err)
	}
	return fmt.Sprintf("%s %s %s", outcome, want.ReplyType(), payload)
}

func codecOf(codecs map[string]codec.Codec, participant string) codec.Codec {
	if encoding := codecs[participant]; encoding != nil {
		return encoding
	}
	return codec.JSON{}
}

// outcomeOf is a reply's outcome in words, "" for what is no reply.
func outcomeOf(m *tidings.Message) string {
	outcome := m.Headers[command.HeaderOutcome]
	if m.Headers[command.HeaderRetryable] == "true" {
		outcome += " that may pass"
	}
	return outcome
}

// describe returns messages line by line.
func describe(ms []tidings.Message) string {
	var lines []string
	for i := range ms {
		line := ms[i].Type
		if outcome := outcomeOf(&ms[i]); outcome != "" {
			line = outcome + " " + line
		}
		if ms[i].Type != command.TypeDone {
			line += " " + string(ms[i].Payload)
		}
		lines = append(lines, "  "+line)
	}
	return strings.Join(lines, "\n")
}
