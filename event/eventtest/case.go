package eventtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/inbox"
	"tidings.example/outbox"
)

// A Database runs a handler's transactions: commit if fn returns nil, else roll
// back. *memory.DB does, and so does the Inbox of every store.
type Database[Tx any] interface {
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

// Within is a Database that has only the caller's transaction and leaves its end to
// the caller. What a failing handler has done stays in it.
func Within[Tx any](tx Tx) Database[Tx] { return within[Tx]{tx} }

type within[Tx any] struct{ tx Tx }

func (w within[Tx]) InTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	return fn(ctx, w.tx)
}

// A Case is one test: a database, a subscriber, and what it has published. It is used by one goroutine.
type Case[Tx any] struct {
	t   testing.TB
	db  Database[Tx]
	sub *event.Subscriber[Tx]
	// pending is what the running transaction has appended, published what has
	// been committed since Given or Then.
	pending, published []tidings.Message
	// err is the failure of the last When, until it is looked at.
	err    error
	failed Sent
	// unhandled are events that no handler took.
	unhandled []Sent
}

// New begins a test. A failure or an unhandled event that the test has not asked
// about by its end fails it.
func New[Tx any](t testing.TB, db Database[Tx]) *Case[Tx] {
	t.Helper()
	c := &Case[Tx]{t: t, db: db}
	t.Cleanup(c.settle)
	return c
}

// Outbox is what the code under test publishes through. What is appended in a
// transaction counts once it commits.
func (c *Case[Tx]) Outbox() *outbox.Outbox[Tx] { return outbox.New[Tx](recorder[Tx]{c}, 0) }

type recorder[Tx any] struct{ c *Case[Tx] }

func (r recorder[Tx]) Insert(_ context.Context, _ Tx, ms []tidings.Message) error {
	r.c.pending = append(r.c.pending, ms...)
	return nil
}

// Subscriber sets whose handlers get the events.
func (c *Case[Tx]) Subscriber(s *event.Subscriber[Tx]) *Case[Tx] {
	c.t.Helper()
	if err := s.Err(); err != nil {
		c.t.Fatalf("subscriber %q: %v", s.Name(), err)
	}
	c.sub = s
	return c
}

// Do runs what is not a handler, such as a request, in a transaction; its error counts as that of a When.
func (c *Case[Tx]) Do(fn func(ctx context.Context, tx Tx) error) *Case[Tx] {
	c.t.Helper()
	c.settle()
	c.published = nil
	c.err, c.failed = c.transact(nil, fn), Sent{}
	return c
}

// deliver hands one event over, as an inbox does.
func (c *Case[Tx]) deliver(s Sent, end error) error {
	c.t.Helper()
	if c.sub == nil {
		c.t.Fatal("no subscriber: call Subscriber first")
	}
	m := s.message(c.t)
	skipped := total(c.sub.Skipped())
	err := c.transact(end, func(ctx context.Context, tx Tx) error {
		return c.sub.Handle(tidings.WithCause(ctx, &m), tx, &m)
	})
	if end == nil && total(c.sub.Skipped()) > skipped {
		c.unhandled = append(c.unhandled, s)
	}
	return err
}

func total(skips []event.Skip) (n uint64) {
	for _, s := range skips {
		n += s.Count
	}
	return n
}

// errRolledBack ends transactions that are to be tried again.
var errRolledBack = errors.New("rolled back by eventtest")

// transact runs fn in a transaction that ends with the error end, unless fn fails.
func (c *Case[Tx]) transact(end error, fn func(ctx context.Context, tx Tx) error) error {
	c.pending = nil
	err := c.db.InTx(c.t.Context(), func(ctx context.Context, tx Tx) error {
		c.pending = nil
		if err := recovered(func() error { return fn(ctx, tx) }); err != nil {
			return err
		}
		return end
	})
	if err == nil {
		c.published = append(c.published, c.pending...)
	}
	c.pending = nil
	return err
}

// recovered calls fn; a panic becomes an error, as in an inbox.
func recovered(fn func() error) (err error) {
	finished := false
	defer func() {
		if finished {
			return
		}
		// A test that was ended by the handler has nothing to recover from.
		if value := recover(); value != nil {
			err = fmt.Errorf("handler panicked: %v", value)
		}
	}()
	err = fn()
	finished = true
	return err
}

// classify says what an inbox does about an error.
func (c *Case[Tx]) classify(err error) Class {
	known, _ := c.db.(interface{ Transient(error) bool })
	switch {
	case inbox.IsTransient(err):
		return Transient
	case inbox.IsPermanent(err):
		return Permanent
	case known != nil && known.Transient(err):
		return Transient
	}
	return Limited
}
