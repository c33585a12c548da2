package timer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/outbox"
)

// Delayed sends messages at a later time. What is sent is stored in the caller's
// transaction; when it is due, a [Runner], whose source Delayed is, moves it to the
// outbox in one transaction, so that it is published once, and neither before its
// time nor if the caller's transaction rolls back. Its methods may be called by several goroutines.
type Delayed[Tx any] struct {
	store  Store[Tx]
	outbox *outbox.Outbox[Tx]
}

// NewDelayed returns the delayed messages of one database: db.Timers() and
// db.Outbox() of a store.
func NewDelayed[Tx any](store Store[Tx], o *outbox.Outbox[Tx]) *Delayed[Tx] {
	return &Delayed[Tx]{store: store, outbox: o}
}

// Send stores messages in tx, to be published when due has come, or at once
// if it is past. Empty ids and content types are filled in, in the caller's slice too: the
// ids are what [Delayed.Cancel] takes, and must be unique among the messages that wait. Inside a
// handler the messages carry on the correlation id and the trace of the message
// being handled, and name it as their cause. Their Time becomes the time at
// which they go to the outbox.
//
// Messages with the same due are published in the order of sending. Those of one key that are due
// shortly one after another may change places where several processes or transactions
// take them at the same time: do not build on their order.
//
// An error matching [tidings.ErrInvalid] names what is wrong, and nothing has been written. After
// any other error tx should be rolled back. After the commit, call [Runner.Wake] if due
// is earlier than the runner's Poll from now, and must be met.
func (d *Delayed[Tx]) Send(ctx context.Context, tx Tx, due time.Time, messages ...tidings.Message) error {
	if len(messages) == 0 {
		return nil
	}
	err := validDue(due)
	if err == nil {
		err = d.outbox.Complete(ctx, messages)
	}
	if err == nil {
		err = d.store.Delay(ctx, tx, due.UTC().Truncate(time.Microsecond), messages)
	}
	if err != nil {
		return fmt.Errorf("send delayed: %w", err)
	}
	return nil
}

// validDue keeps out what databases cannot store.
func validDue(due time.Time) error {
	if y := due.UTC().Year(); due.IsZero() || y < 1970 || y > 9999 {
		return &tidings.InvalidError{Field: "due", Rule: fmt.Sprintf("%s is not between the years 1970 and 9999", due.Format(time.RFC3339))}
	}
	return nil
}

// Cancel removes a delayed message in tx, and reports whether it was there. If it
// was, and tx commits, the message is never published; if not, it was
// published or cancelled before, or never sent. It waits for a transaction that is moving the message.
func (d *Delayed[Tx]) Cancel(ctx context.Context, tx Tx, id string) (bool, error) {
	there, err := d.store.Cancel(ctx, tx, id)
	if err != nil {
		return false, fmt.Errorf("cancel delayed message %q: %w", id, err)
	}
	return there, nil
}

// Name implements [Source].
func (d *Delayed[Tx]) Name() string { return "delayed messages" }

// Next implements [Source].
func (d *Delayed[Tx]) Next(ctx context.Context) (time.Time, bool, error) { return d.store.Next(ctx) }

// Fire implements [Source]: it moves messages to the outbox in one transaction.
// Should that be rolled back, they are still there, and due.
func (d *Delayed[Tx]) Fire(ctx context.Context, now time.Time, limit int) (int, error) {
	done := 0
	err := d.store.InTx(ctx, func(ctx context.Context, tx Tx) error {
		ms, err := d.store.Take(ctx, tx, now, limit)
		if err != nil {
			return err
		}
		for i := range ms {
			// It is new to those who measure the age of what waits in the outbox.
			ms[i].Time = now
		}
		done = len(ms)
		return d.outbox.Append(ctx, tx, ms...)
	})
	if err != nil {
		return 0, fmt.Errorf("move delayed messages to the outbox: %w", err)
	}
	return done, nil
}

// Transient implements [Source]. A message that this outbox refuses, because its bounds are
// narrower than those of the outbox it was sent through, can be moved by another process: it is
// reported, and holds up what is due after it, but does not end the service.
func (d *Delayed[Tx]) Transient(err error) bool {
	return d.store.Transient(err) || errors.Is(err, tidings.ErrInvalid)
}
