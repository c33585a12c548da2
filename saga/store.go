package saga

import (
	"context"
	"errors"
	"time"

	"tidings.example/saga/machine"
)

// ErrConflict is returned by [Store.Save] where another transaction has changed
// the saga since it was loaded. What was done is to be rolled back and tried again.
var ErrConflict = errors.New("saga was changed by another transaction at the same time")

// A Store keeps sagas in the orchestrator's database. Unless said otherwise its
// methods take part in the caller's transaction.
type Store[Tx any] interface {
	// InTx runs fn in a transaction, as inbox.Store does.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Transient reports whether an error of this database may pass. It does for ErrConflict.
	Transient(err error) bool

	// Insert stores a new saga, as version 1, and its journal. It reports false, and has
	// changed nothing, where there is one of that type and id already.
	Insert(ctx context.Context, tx Tx, r *Record, journal []machine.Entry) (inserted bool, err error)
	// Load returns a saga, or nil where there is none. Inside a transaction that
	// has saved it, it returns what was saved.
	Load(ctx context.Context, tx Tx, ref Ref) (*Record, error)
	// Save stores a saga that was loaded as r.Version, as the next version, which it sets in r,
	// and adds to its journal; ErrConflict where that is not its version any more.
	Save(ctx context.Context, tx Tx, r *Record, journal []machine.Entry) error
	// Remove removes a saga that was loaded as r.Version, and its journal; ErrConflict
	// where that is not its version any more.
	Remove(ctx context.Context, tx Tx, r *Record) error
	// Due returns up to limit sagas whose Wake is not after now, oldest first, and
	// keeps other transactions' Due from returning the same until tx ends, where the database can.
	Due(ctx context.Context, tx Tx, now time.Time, limit int) ([]Record, error)

	// What follows needs no transaction and sees what is committed.

	// NextWake returns the earliest Wake of all sagas; ok is false where none has one.
	NextWake(ctx context.Context) (wake time.Time, ok bool, err error)
	// Get returns a saga, or nil.
	Get(ctx context.Context, ref Ref) (*Record, error)
	// Define stores the plan of a type, as JSON, under its fingerprint, unless it is there.
	Define(ctx context.Context, sagaType, fingerprint string, plan []byte, at time.Time) error
	// Fingerprints counts the unfinished sagas by type and fingerprint.
	Fingerprints(ctx context.Context) ([]Fingerprint, error)
	// Unfinished returns up to limit unfinished sagas of a type and fingerprint, by id, after an id.
	Unfinished(ctx context.Context, sagaType, fingerprint, after string, limit int) ([]Record, error)
}

// A Ref names a saga: its type, and the id that was chosen when it was started.
type Ref struct{ Type, ID string }

// A Record is a saga as it is stored.
type Record struct {
	Ref
	// Version counts the changes of the row, from 1.
	Version int64
	State   machine.State
	// Step names what the saga is doing or waiting for, for people; at most 200 characters.
	Step string
	// Error is the last one, for people; at most 1,000 characters.
	Error string
	// Fingerprint is that of the plan under which it was changed last.
	Fingerprint string
	// Data is the user's, encoded as JSON; Instance the machine's, and more, as JSON.
	Data, Instance []byte
	// Wake is when something is to be done even if nothing comes; zero for never.
	Wake time.Time
	// Started, Changed and Ended are times; Ended is zero for an unfinished saga.
	Started, Changed, Ended time.Time
	// Request is what an operator asks for, as JSON, and nil otherwise. Save
	// removes it from the row where it is nil in r.
	Request []byte
}

// A Fingerprint counts unfinished sagas of one definition.
type Fingerprint struct {
	Type, Fingerprint string
	Count             int64
}
