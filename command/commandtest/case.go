package commandtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/outbox"
)

// replies is where the kit's commands want their replies.
const replies = "commandtest.replies"

// A Case is one test: a participant's database, its receiver, and what it has
// answered and sent. It is used by one goroutine.
type Case[Tx any] struct {
	t     testing.TB
	store command.Store[Tx]
	recv  *command.Receiver[Tx]
	// last is the command of the last When.
	last        tidings.Message
	participant command.Participant
	// pending is what the running transaction has appended, sent what was
	// committed since the last When and Then have not looked at yet.
	pending, sent []tidings.Message
	// err is the failure of the last When, until it is looked at.
	err error
}

// New begins a test on a participant's database: the Commands method of a store's
// DB, such as *memory.DB, returns what is needed. A failure that the test has not asked
// about by its end, or by the next When, fails it.
func New[Tx any](t testing.TB, store command.Store[Tx]) *Case[Tx] {
	t.Helper()
	c := &Case[Tx]{t: t, store: store}
	t.Cleanup(c.settle)
	return c
}

// Outbox is what the code under test sends through, the receiver too. What is
// appended in a transaction counts once it commits.
func (c *Case[Tx]) Outbox() *outbox.Outbox[Tx] { return outbox.New[Tx](recorder[Tx]{c}, 0) }

type recorder[Tx any] struct{ c *Case[Tx] }

func (r recorder[Tx]) Insert(_ context.Context, _ Tx, ms []tidings.Message) error {
	r.c.pending = append(r.c.pending, ms...)
	return nil
}

// Receiver sets whose handlers get the commands. It was made with [Case.Outbox].
func (c *Case[Tx]) Receiver(r *command.Receiver[Tx]) *Case[Tx] {
	c.t.Helper()
	if err := r.Err(); err != nil {
		c.t.Fatalf("receiver %q: %v", r.Name(), err)
	}
	c.recv = r
	return c
}

// Saga says that a command is sent for a saga. Without it no saga sends it.
func Saga(sagaType, id string) command.Option {
	return command.ForSaga(command.Saga{Type: sagaType, ID: id}, "step/1")
}

// When hands a command over, which asks for a reply unless p or the options make it
// impossible. The options are those of [command.Message].
func (c *Case[Tx]) When(p command.Participant, cmd command.Command, options ...command.Option) *Case[Tx] {
	c.t.Helper()
	m, err := command.Message(p, cmd, append([]command.Option{command.ReplyTo(replies, "key")}, options...)...)
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	c.participant = p
	return c.deliver(m)
}

// WhenNotified hands a command over that wants no reply.
func (c *Case[Tx]) WhenNotified(p command.Participant, cmd command.Command, options ...command.Option) *Case[Tx] {
	c.t.Helper()
	return c.When(p, cmd, append(options, command.ReplyTo("", ""))...)
}

// WhenRepeated hands the last command over once more, as a sender does that got no
// reply in time: in a message of its own, with the same command id.
func (c *Case[Tx]) WhenRepeated() *Case[Tx] {
	c.t.Helper()
	if c.last.ID == "" {
		c.t.Fatal("there is no command to repeat: call When first")
	}
	m := c.last
	m.ID = tidings.NewID()
	return c.deliver(m)
}

// WhenEnded tells a participant that a saga has ended: its locks go, and what waits for them is handled.
func (c *Case[Tx]) WhenEnded(p command.Participant, sagaType, id string) *Case[Tx] {
	c.t.Helper()
	return c.deliver(command.Unlock(p, command.Saga{Type: sagaType, ID: id}))
}

// Do runs what is not a handler, such as a later answer, in a transaction.
func (c *Case[Tx]) Do(fn func(ctx context.Context, tx Tx) error) *Case[Tx] {
	c.t.Helper()
	c.settle()
	c.sent = nil
	c.err = c.transact(fn)
	return c
}

// deliver hands a message over, as an inbox does.
func (c *Case[Tx]) deliver(m tidings.Message) *Case[Tx] {
	c.t.Helper()
	if c.recv == nil {
		c.t.Fatal("no receiver: call Receiver first")
	}
	c.settle()
	c.sent = nil
	m.Time = time.Now().UTC().Truncate(time.Microsecond)
	if m.Type != command.TypeUnlock {
		c.last = m
	}
	c.err = c.transact(func(ctx context.Context, tx Tx) error {
		return c.recv.Handle(tidings.WithCause(ctx, &m), tx, &m)
	})
	if c.err == nil || c.transient(c.err) {
		return c
	}
	failure, settled := c.err, false
	err := c.transact(func(ctx context.Context, tx Tx) (err error) {
		settled, err = c.recv.GiveUp(tidings.WithCause(ctx, &m), tx, &m, failure)
		return err
	})
	if err != nil {
		c.err = errors.Join(failure, err)
	} else if settled {
		c.err = nil // the reply says it
	}
	return c
}

func (c *Case[Tx]) transient(err error) bool {
	return inbox.IsTransient(err) || !inbox.IsPermanent(err) && c.store.Transient(err)
}

// transact runs fn in a transaction.
func (c *Case[Tx]) transact(fn func(ctx context.Context, tx Tx) error) error {
	err := c.store.InTx(c.t.Context(), func(ctx context.Context, tx Tx) error {
		c.pending = nil
		return recovered(func() error { return fn(ctx, tx) })
	})
	if err == nil {
		c.sent = append(c.sent, c.pending...)
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

// settle fails the test for a failure that nobody has asked about.
func (c *Case[Tx]) settle() {
	c.t.Helper()
	if c.err != nil {
		c.t.Errorf("the last When failed: %v", c.err)
		c.err = nil
	}
}
