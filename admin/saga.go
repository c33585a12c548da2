package admin

import (
	"context"
	"errors"
	"time"
)

// ErrSagaEnded is returned for a request to a saga to which nothing happens any more.
var ErrSagaEnded = errors.New("the saga has ended")

// ErrRequestWaits is returned for a request to a saga whose last request has not
// been carried out yet.
var ErrRequestWaits = errors.New("an earlier request to the saga waits for its service: is it running?")

// Sagas answers questions about the sagas of a service and passes requests to
// them. A request is carried out by the running service, within a second or so.
type Sagas interface {
	// ListSagas returns sagas, those first that were changed longest ago.
	ListSagas(ctx context.Context, f SagaFilter) ([]Saga, error)
	// GetSaga returns one saga, with its data, or ErrNotFound.
	GetSaga(ctx context.Context, sagaType, id string) (Saga, error)
	// SagaJournal returns up to limit entries of a saga's journal after an entry's number.
	SagaJournal(ctx context.Context, sagaType, id string, after, limit int) ([]SagaEntry, error)
	// CountSagas counts sagas by type and state.
	CountSagas(ctx context.Context) ([]SagaCount, error)
	// SagaPlans returns the definitions of sagas that services have run here, newest first of each type.
	SagaPlans(ctx context.Context, sagaType string) ([]SagaPlan, error)
	// RequestSaga stores a request, as JSON, for the running service: ErrNotFound,
	// ErrSagaEnded, ErrRequestWaits. It writes the audit table in the same transaction.
	RequestSaga(ctx context.Context, sagaType, id, op string, request []byte, a Action) error
}

// A SagaFilter selects sagas; zero fields select everything.
type SagaFilter struct {
	Type string
	// States are those of package saga/machine.
	States []string
	// Step is the name of a step that the saga is at, perhaps among others.
	Step string
	// Unchanged selects sagas that were changed no later than this long ago.
	Unchanged time.Duration
	// After continues behind the last saga of the list before; Limit defaults to 100.
	After *Saga
	Limit int
}

// A Saga is one saga, as operators see it.
type Saga struct {
	Type, ID string
	Version  int64
	State    string
	// Step is what it is doing or waiting for.
	Step  string
	Error string
	// Started, Changed, Ended and Wake are times; the last two may be zero.
	Started, Changed, Ended, Wake time.Time
	Fingerprint                   string
	// Requested is set while an operator's request waits for the service.
	Requested bool
	// Data and Instance are JSON; only GetSaga returns them.
	Data, Instance []byte
}

// A SagaEntry is one entry of a saga's journal.
type SagaEntry struct {
	Number        int
	At            time.Time
	What          string
	Step          string
	Undo          bool
	Attempt       int
	Message, Type string
	Text          string
}

// A SagaCount counts the sagas of one type in one state.
type SagaCount struct {
	Type, State string
	Count       int64
	// Oldest is the age of the change that was made longest ago.
	Oldest time.Duration
}

// A SagaPlan is a definition as JSON.
type SagaPlan struct {
	Type, Fingerprint string
	Plan              []byte
	SeenAt            time.Time
}

// Locks answers questions about what a participant has locked for sagas.
type Locks interface {
	// ListLocks returns locks, oldest first.
	ListLocks(ctx context.Context, f LockFilter) ([]Lock, error)
	// BreakLock removes a lock, keeping it in the audit table; ErrNotFound. What
	// waits for the target is handled by the running service, within a second or so.
	BreakLock(ctx context.Context, participant, target string, a Action) error
}

// A LockFilter selects locks; zero fields select everything.
type LockFilter struct {
	Participant, Target string
	SagaType, SagaID    string
	// Older selects locks that are at least this old.
	Older time.Duration
	// Limit defaults to 100.
	Limit int
}

// A Lock is a target that a participant has locked for a saga.
type Lock struct {
	Participant, Target string
	SagaType, SagaID    string
	Since               time.Time
	// Waiting is how many commands of others wait for the target.
	Waiting int
}
