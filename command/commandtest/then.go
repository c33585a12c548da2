package commandtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"tidings.example"
	"tidings.example/codec"
	"tidings.example/command"
)

// ThenSucceeded expects one reply, a success with this body.
func (c *Case[Tx]) ThenSucceeded(want command.Reply) *Case[Tx] {
	c.t.Helper()
	c.thenReplied(want, true, false)
	return c
}

// ThenDone expects one reply, a success without a body.
func (c *Case[Tx]) ThenDone() *Case[Tx] {
	c.t.Helper()
	if r, ok := c.reply(); ok && (!r.Success || r.Type != command.TypeDone) {
		c.t.Errorf("the reply is %s, not a success without a body", describe(r))
	}
	return c
}

// ThenFailed expects one reply, a final failure with this body.
func (c *Case[Tx]) ThenFailed(want command.Reply) *Case[Tx] {
	c.t.Helper()
	c.thenReplied(want, false, false)
	return c
}

// ThenFailedRetryable expects one reply, a failure with this body that may pass.
func (c *Case[Tx]) ThenFailedRetryable(want command.Reply) *Case[Tx] {
	c.t.Helper()
	c.thenReplied(want, false, true)
	return c
}

// ThenProblem expects one reply, a failure without a type of the user's: one of the
// Failure constants, with a detail that contains a text.
func (c *Case[Tx]) ThenProblem(failure, detail string) *Case[Tx] {
	c.t.Helper()
	r, ok := c.reply()
	if !ok {
		return c
	}
	if r.Success || r.Failure != failure || !strings.Contains(r.Problem(), detail) {
		c.t.Errorf("the reply is %s, not a failure %q with %q", describe(r), failure, detail)
	}
	return c
}

// ThenRetried expects that the handler failed with an error that wraps target and
// is tried again until it passes, or, where nobody waits for a reply, is parked.
func (c *Case[Tx]) ThenRetried(target error) *Case[Tx] {
	c.t.Helper()
	if c.err == nil || !errors.Is(c.err, target) {
		c.t.Errorf("the handler's error is %v, not %v", c.err, target)
	}
	c.err = nil
	return c
}

// ThenNoReply expects that nothing was answered: the answer comes later, the command
// waits for a target, or nobody wants to know.
func (c *Case[Tx]) ThenNoReply() *Case[Tx] {
	c.t.Helper()
	c.settle()
	for _, r := range c.Replies() {
		c.t.Errorf("there is a reply: %s", describe(r))
	}
	return c
}

// ThenLocked expects that the saga of the last command has locked these targets of its participant, and no others.
func (c *Case[Tx]) ThenLocked(targets ...string) *Case[Tx] {
	c.t.Helper()
	h := c.last.Headers
	return c.ThenLockedFor(c.participant, h[command.HeaderSagaType], h[command.HeaderSagaID], targets...)
}

// ThenLockedFor expects that a saga has locked these targets of a participant, and no others.
func (c *Case[Tx]) ThenLockedFor(p command.Participant, sagaType, id string, targets ...string) *Case[Tx] {
	c.t.Helper()
	var got []string
	err := c.store.InTx(c.t.Context(), func(ctx context.Context, tx Tx) error {
		locked, err := c.store.LocksOf(ctx, tx, p.Name, command.Saga{Type: sagaType, ID: id})
		got = nil
		for _, target := range locked {
			got = append(got, target.Name)
		}
		return err
	})
	if err != nil {
		c.t.Fatalf("read the locks: %v", err)
	}
	want := slices.Sorted(slices.Values(targets))
	if !slices.Equal(got, want) {
		c.t.Errorf("saga %s %s has locked %q at %s, not %q", sagaType, id, got, p.Name, want)
	}
	return c
}

// Replies returns what was answered since the last When, which is several where a saga's end lets others go on.
func (c *Case[Tx]) Replies() []command.Replied {
	c.t.Helper()
	var all []command.Replied
	for _, m := range c.sent {
		if m.Channel != replies {
			continue
		}
		r, err := command.ParseReply(&m)
		if err != nil {
			c.t.Fatalf("%v", err)
		}
		r.Codec = c.participant.Codec
		all = append(all, r)
	}
	return all
}

// Sent returns what else was sent since the last When: events, commands to others.
func (c *Case[Tx]) Sent() []tidings.Message {
	var all []tidings.Message
	for _, m := range c.sent {
		if m.Channel != replies {
			all = append(all, m)
		}
	}
	return all
}

// ThenSent expects that messages of these types were sent besides the reply, in this order.
func (c *Case[Tx]) ThenSent(types ...string) *Case[Tx] {
	c.t.Helper()
	c.settle()
	var got []string
	for _, m := range c.Sent() {
		got = append(got, m.Type)
	}
	if !slices.Equal(got, types) {
		c.t.Errorf("sent %q, not %q", got, types)
	}
	return c
}

// reply returns the one reply.
func (c *Case[Tx]) reply() (r command.Replied, ok bool) {
	c.t.Helper()
	c.settle()
	all := c.Replies()
	if len(all) != 1 {
		c.t.Errorf("there are %d replies, not 1", len(all))
		return r, false
	}
	return all[0], true
}

func (c *Case[Tx]) thenReplied(want command.Reply, success, retryable bool) {
	c.t.Helper()
	r, ok := c.reply()
	if !ok {
		return
	}
	expected := fmt.Sprintf("a failure of type %s", want.ReplyType())
	if success {
		expected = fmt.Sprintf("a success of type %s", want.ReplyType())
	}
	if r.Success != success || r.Retryable != retryable || r.Type != want.ReplyType() {
		c.t.Errorf("the reply is %s, not %s (retryable: %v)", describe(r), expected, retryable)
		return
	}
	got := reflect.New(reflect.TypeOf(want))
	encoding := r.Codec
	if encoding == nil {
		encoding = codec.JSON{}
	}
	if err := encoding.Decode(r.Message.ContentType, r.Message.Payload, got.Interface()); err != nil {
		c.t.Errorf("the reply cannot be decoded: %v", err)
		return
	}
	if !reflect.DeepEqual(got.Elem().Interface(), want) {
		c.t.Errorf("the reply is %s, not with %+v", describe(r), want)
	}
}

func describe(r command.Replied) string {
	kind := "a success"
	switch {
	case r.Retryable:
		kind = "a retryable failure"
	case !r.Success:
		kind = "a failure"
	}
	return fmt.Sprintf("%s of type %s with %s", kind, r.Type, r.Message.Payload)
}
