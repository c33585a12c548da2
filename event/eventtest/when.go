package eventtest

// Given delivers events that the test takes for granted: each must be handled,
// and what is published on them is forgotten.
func (c *Case[Tx]) Given(events ...Sent) *Case[Tx] {
	c.t.Helper()
	c.settle()
	for _, s := range events {
		if err := c.deliver(s, nil); err != nil {
			c.t.Fatalf("given %v: %v", s, err)
		}
	}
	c.settle()
	c.published = nil
	return c
}

// When delivers events, one after another, each in a transaction. The first
// failure ends it: ask with ThenFails.
func (c *Case[Tx]) When(events ...Sent) *Case[Tx] {
	c.t.Helper()
	return c.when(events, func(s Sent) error { return c.deliver(s, nil) })
}

// WhenRetried delivers each event in a transaction that is rolled back at its end, and
// then again, as an inbox does whose process is killed or whose database is away
// at the commit. What a handler does outside its transaction is done twice.
func (c *Case[Tx]) WhenRetried(events ...Sent) *Case[Tx] {
	c.t.Helper()
	return c.when(events, func(s Sent) error {
		if err := c.deliver(s, errRolledBack); err != errRolledBack {
			return err
		}
		return c.deliver(s, nil)
	})
}

// WhenRepeated delivers each event twice as two messages with ids of their own, as from a
// publisher that tells the same thing again. The inbox knows copies of one message, but not these.
func (c *Case[Tx]) WhenRepeated(events ...Sent) *Case[Tx] {
	c.t.Helper()
	return c.when(events, func(s Sent) error {
		if err := c.deliver(s, nil); err != nil {
			return err
		}
		return c.deliver(s, nil)
	})
}

func (c *Case[Tx]) when(events []Sent, deliver func(Sent) error) *Case[Tx] {
	c.t.Helper()
	c.settle()
	c.published = nil
	for _, s := range events {
		if err := deliver(s); err != nil {
			c.err, c.failed = err, s
			break
		}
	}
	return c
}
