package commandtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/codec"
	"tidings.example/command"
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

// A Case is one test: a database, a receiver, and what it has answered. It is used by one goroutine.
type Case[Tx any] struct {
	t    testing.TB
	db   Database[Tx]
	recv *command.Receiver[Tx]
	// codecs are those of the participants, by name.
	codecs map[string]codec.Codec
	// pending is what the running transaction has appended; of what has been
	// committed since the last Given or When, replies are the replies and others the rest.
	pending, replies, others []tidings.Message
	// sent are the messages of the last Given or When, commands counts those that are commands and were not rolled back on purpose.
	sent     []tidings.Message
	commands int
	// err is the failure of the last When. asked is set when the test has looked at
	// how it went.
	err   error
	asked bool
}

// New begins a test. A failure or a reply that the test has not asked about by its end fails it.
func New[Tx any](t testing.TB, db Database[Tx]) *Case[Tx] {
	t.Helper()
	c := &Case[Tx]{t: t, db: db, codecs: map[string]codec.Codec{}, asked: true}
	t.Cleanup(c.settle)
	return c
}

// Outbox is what the code under test sends through, its receiver too. What is appended
// in a transaction counts once it commits.
func (c *Case[Tx]) Outbox() *outbox.Outbox[Tx] { return outbox.New[Tx](recorder[Tx]{c}, 0) }

type recorder[Tx any] struct{ c *Case[Tx] }

func (r recorder[Tx]) Insert(_ context.Context, _ Tx, ms []tidings.Message) error {
	r.c.pending = append(r.c.pending, ms...)
	return nil
}

// Receiver sets whose handlers get the commands. It answers through [Case.Outbox].
func (c *Case[Tx]) Receiver(r *command.Receiver[Tx]) *Case[Tx] {
	c.t.Helper()
	if err := r.Err(); err != nil {
		c.t.Fatalf("receiver %q: %v", r.Name(), err)
	}
	c.recv = r
	return c
}

// deliver hands one message over, as an inbox does.
func (c *Case[Tx]) deliver(m *tidings.Message, end error) error {
	c.t.Helper()
	if c.recv == nil {
		c.t.Fatalf("no receiver: call Receiver first")
	}
	m.Time = time.Now().UTC().Truncate(time.Microsecond)
	return c.transact(end, func(ctx context.Context, tx Tx) error {
		return c.recv.Handle(tidings.WithCause(ctx, m), tx, m)
	})
}

// errRolledBack ends transactions that are to be tried again.
var errRolledBack = errors.New("rolled back by commandtest")

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
		for _, m := range c.pending {
			if m.Channel == replies {
				c.replies = append(c.replies, m)
			} else {
				c.others = append(c.others, m)
			}
		}
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

// A Class is what an inbox does about an error of a handler.
type Class string

// The classes of errors. A command that fails for good is answered with command.FailureRejected.
const (
	// Transient errors are tried again until they pass.
	Transient Class = "transient"
	// Permanent ones fail at once, for good.
	Permanent Class = "permanent"
	// Limited ones are tried some times; then they fail for good.
	Limited Class = "limited"
)

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
