package timer

import (
	"context"
	"time"

	"tidings.example"
)

// A Source is something that has to be done at times which a database keeps:
// delayed messages, sagas that time out. A [Runner] does it.
type Source interface {
	// Name is what the source is called in logs.
	Name() string
	// Next returns when the next thing is due; ok is false when there is none.
	Next(ctx context.Context) (due time.Time, ok bool, err error)
	// Fire does up to limit of the things that are due at now, oldest first, in one or more
	// transactions of its own, leaving out those that another process is doing
	// at this moment, and returns how many it has done. What it has done once is not due any more.
	Fire(ctx context.Context, now time.Time, limit int) (done int, err error)
	// Transient reports whether an error may pass; any other ends the runner.
	Transient(err error) bool
}

// A Store keeps delayed messages in a service's database.
type Store[Tx any] interface {
	// InTx runs fn in a transaction, as inbox.Store does.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Transient reports whether an error of this database may pass.
	Transient(err error) bool
	// Delay stores messages, complete and valid, until due, in tx. IDs of messages are unique.
	Delay(ctx context.Context, tx Tx, due time.Time, ms []tidings.Message) error
	// Cancel removes a delayed message in tx, and reports whether it was there.
	Cancel(ctx context.Context, tx Tx, id string) (bool, error)
	// Take removes up to limit messages that are due at now, in the order of their
	// times and then of their storing, and returns them, in tx. It leaves out those that another transaction is taking.
	Take(ctx context.Context, tx Tx, now time.Time, limit int) ([]tidings.Message, error)
	// Next returns when the next message is due.
	Next(ctx context.Context) (due time.Time, ok bool, err error)
}
