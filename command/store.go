package command

import (
	"context"
	"time"

	"tidings.example"
)

// A Store keeps what participants remember of commands, in the database that
// their handlers change: locks, commands that wait for one, and answers to
// repeatable commands. Unless said otherwise its methods take part in the caller's transaction.
type Store[Tx any] interface {
	// InTx runs fn in a transaction, as inbox.Store does.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Transient reports whether an error of this database may pass.
	Transient(err error) bool

	// Lock returns the lock on a target, after creating it for owner where there
	// is none and owner is not zero. The row is locked until tx ends, and
	// so is the absence of one: of two transactions that ask at once, one waits for the other's end.
	// Zero where nobody has a lock on it.
	Lock(ctx context.Context, tx Tx, target Target, owner Saga, at time.Time) (Lock, error)
	// Unlock removes the lock of a target, if owner holds it, and reports whether it did.
	Unlock(ctx context.Context, tx Tx, target Target, owner Saga) (bool, error)
	// LocksOf returns the targets of a participant that a saga has locked, sorted.
	LocksOf(ctx context.Context, tx Tx, participant string, owner Saga) ([]Target, error)

	// SetAside stores a command that waits for a target, behind those that wait already.
	SetAside(ctx context.Context, tx Tx, target Target, m *tidings.Message, at time.Time) error
	// FirstAside returns the command that has waited longest for a target, or nil.
	FirstAside(ctx context.Context, tx Tx, target Target) (*Aside, error)
	// FirstAsideOf returns the command of a saga that has waited longest for a target, or nil.
	FirstAsideOf(ctx context.Context, tx Tx, target Target, owner Saga) (*Aside, error)
	// RemoveAside removes a command that waits no more.
	RemoveAside(ctx context.Context, tx Tx, id int64) error
	// Broken returns up to limit targets of a participant for which commands wait though no saga
	// has the lock: an operator has broken it, or what waited failed when it was released. It needs no transaction.
	Broken(ctx context.Context, participant string, limit int) ([]Target, error)

	// Answered returns the remembered answer to a command, or nil.
	Answered(ctx context.Context, tx Tx, participant, commandID string) (*tidings.Message, error)
	// Remember stores the answer to a command.
	Remember(ctx context.Context, tx Tx, participant, commandID string, answer *tidings.Message, at time.Time) error
	// Forget removes up to limit answers older than before, and returns how many those were. It needs no transaction.
	Forget(ctx context.Context, participant string, before time.Time, limit int) (int, error)
}

// A Target is something that a participant can lock for a saga, such as the
// ticket with an id.
type Target struct{ Participant, Name string }

// A Lock says for whom a target is locked, and since when.
type Lock struct {
	Target Target
	Owner  Saga
	Since  time.Time
}

// An Aside is a command that waits for a target.
type Aside struct {
	ID      int64
	Target  Target
	Message tidings.Message
	At      time.Time
}

// A ReplyStore keeps replies until those who wait for them have read them.
type ReplyStore[Tx any] interface {
	// InTx runs fn in a transaction, as inbox.Store does.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// SaveReply stores the first reply to a command; later ones change nothing.
	SaveReply(ctx context.Context, tx Tx, commandID string, reply *tidings.Message, at time.Time) error
	// Reply returns the committed reply to a command, or nil. It needs no transaction.
	Reply(ctx context.Context, commandID string) (*tidings.Message, error)
	// ForgetReplies removes up to limit replies older than before, and returns how many those were.
	ForgetReplies(ctx context.Context, before time.Time, limit int) (int, error)
}
