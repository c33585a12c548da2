package eventtest

import (
	"bytes"
	"fmt"
	"strings"

	"tidings.example"
	"tidings.example/event"
)

// Class says what an inbox does about an error.
type Class string

// The classes of errors.
const (
	// Permanent: the message is parked at once.
	Permanent Class = "permanent"
	// Transient: it is tried until it succeeds.
	Transient Class = "transient"
	// Limited: it is tried as often as the inbox is told to, then parked. Panics are Limited.
	Limited Class = "limited"
)

// ThenPublished demands that the last When has succeeded and has published these
// events, in this order, and no others. Events are compared as they are encoded.
func (c *Case[Tx]) ThenPublished(events ...Sent) *Case[Tx] {
	c.t.Helper()
	c.settle()
	want := make([]tidings.Message, len(events))
	for i, s := range events {
		want[i] = s.message(c.t)
	}
	same := len(want) == len(c.published)
	for i := 0; same && i < len(want); i++ {
		same = equal(&want[i], &c.published[i])
	}
	if !same {
		c.t.Errorf("published:\n%swant:\n%s", list(c.published), list(want))
	}
	return c
}

// ThenNothing demands that the last When has succeeded and has published nothing.
func (c *Case[Tx]) ThenNothing() *Case[Tx] {
	c.t.Helper()
	return c.ThenPublished()
}

// ThenFails demands that the last When has failed with an error of this class, and returns
// the error. What it was about is rolled back.
func (c *Case[Tx]) ThenFails(class Class) error {
	c.t.Helper()
	err := c.err
	c.err = nil
	switch {
	case err == nil:
		c.t.Errorf("handled without an error, want one that is %s", class)
	case c.classify(err) != class:
		c.t.Errorf("failed with an error that is %s, want %s: %v", c.classify(err), class, err)
	}
	return err
}

// ThenIgnored demands that the subscriber has no handler for n of the last When's events.
func (c *Case[Tx]) ThenIgnored(n int) *Case[Tx] {
	c.t.Helper()
	if len(c.unhandled) != n {
		c.t.Errorf("%d events have no handler, want %d: %v", len(c.unhandled), n, c.unhandled)
	}
	c.unhandled = nil
	return c
}

// Messages are those that the last When has published, whole.
func (c *Case[Tx]) Messages() []tidings.Message { return c.published }

// Published returns the events of one type of an aggregate that the last When of a
// case has published, in order.
func Published[T event.Event, Tx any](c *Case[Tx], a event.Aggregate) []event.Of[T] {
	c.t.Helper()
	c.settle()
	var found []event.Of[T]
	var zero T
	for i := range c.published {
		m := &c.published[i]
		if m.Channel != a.Channel || m.Headers[event.HeaderAggregateType] != a.Name || m.Type != zero.EventType() {
			continue
		}
		e, err := event.Decode[T](a, m)
		if err != nil {
			c.t.Fatal(err)
		}
		found = append(found, e)
	}
	return found
}

// settle reports what the test has not asked about.
func (c *Case[Tx]) settle() {
	c.t.Helper()
	if c.err != nil {
		c.t.Errorf("%v: %v (%s)", c.failed, c.err, c.classify(c.err))
	}
	for _, s := range c.unhandled {
		c.t.Errorf("%v: the subscriber has no handler for it", s)
	}
	c.err, c.unhandled = nil, nil
}

func equal(a, b *tidings.Message) bool {
	return a.Channel == b.Channel && a.Key == b.Key && a.Type == b.Type && bytes.Equal(a.Payload, b.Payload) &&
		a.Headers[event.HeaderAggregateType] == b.Headers[event.HeaderAggregateType]
}

func list(ms []tidings.Message) string {
	if len(ms) == 0 {
		return "  nothing\n"
	}
	var b strings.Builder
	for i := range ms {
		m := &ms[i]
		fmt.Fprintf(&b, "  %s %s of %s %q: %s\n", m.Channel, m.Type, m.Headers[event.HeaderAggregateType], m.Key, m.Payload)
	}
	return b.String()
}
