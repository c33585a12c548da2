package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/relay"
	"tidings.example/saga"
)

// A DB is an empty database with the tables of Tidings. Its methods may be
// called by several goroutines.
type DB struct {
	now func() time.Time

	mu    sync.Mutex
	locks locks

	values map[string]string // the users' own
	lanes  map[laneKey]inbox.LaneState
	seen   map[seenKey]time.Time
	held   map[heldKey]hold
	parked map[int64]parkedRow
	audit  []Audit
	outbox outboxTable
	lease  leaseRow

	sagas   map[saga.Ref]sagaRow
	plans   map[planKey]planRow
	timers  map[timerKey]timerRow
	targets map[command.Target]lockRow
	asides  map[int64]command.Aside
	answers map[answerKey]answerRow
	replies map[replyKey]answerRow

	// These are handed out without regard to commits.
	lastPosition, lastParked, lastTimer, lastAside int64
}

type laneKey struct {
	subscriber string
	lane       tidings.Lane
}

type seenKey struct {
	subscriber string
	id         inbox.MessageID
}

type heldKey struct {
	subscriber string
	key        inbox.HeldKey
}

type hold struct {
	since time.Time
	retry bool
}

type parkedRow struct {
	subscriber string
	inbox.Parked
}

// An Audit is what the audit table keeps of an operator's action.
type Audit struct {
	At time.Time
	admin.Action
	// Did is what was done, to what Target. Was is what was replaced or removed, if anything.
	Did, Target string
	Was         *tidings.Message
	// Detail is what was asked of a saga, as JSON, or whose lock was broken.
	Detail string
}

// New returns an empty database.
func New() *DB {
	return &DB{
		now:    func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
		locks:  locks{owners: map[any]*Tx{}, queues: map[any][]*waiter{}},
		values: map[string]string{},
		lanes:  map[laneKey]inbox.LaneState{},
		seen:   map[seenKey]time.Time{},
		held:   map[heldKey]hold{},
		parked: map[int64]parkedRow{},
		outbox: newOutboxTable(),
		lease:  newLease(),

		sagas:   map[saga.Ref]sagaRow{},
		plans:   map[planKey]planRow{},
		timers:  map[timerKey]timerRow{},
		targets: map[command.Target]lockRow{},
		asides:  map[int64]command.Aside{},
		answers: map[answerKey]answerRow{},
		replies: map[replyKey]answerRow{},
	}
}

// Outbox appends messages in transactions of this database.
func (db *DB) Outbox() *outbox.Outbox[*Tx] { return outbox.New[*Tx](outboxStore{db}, 0) }

// Inbox keeps the records of inboxes in this database.
func (db *DB) Inbox() *Inbox { return &Inbox{db} }

// Sagas keeps the sagas of an orchestrator in this database.
func (db *DB) Sagas() *Sagas { return &Sagas{db} }

// Timers keeps delayed messages in this database.
func (db *DB) Timers() *Timers { return &Timers{db} }

// Commands keeps what participants remember of commands in this database.
func (db *DB) Commands() *Commands { return &Commands{db} }

// Replies keeps replies in this database for those who wait for them.
func (db *DB) Replies() *Replies { return &Replies{db} }

// Relay is the outbox as a relay reads it, under the name of its source.
func (db *DB) Relay(name string) relay.Source { return &Source{db: db, name: name} }

// Admin is what an operator can ask of this database and do to it.
func (db *DB) Admin() *Admin { return &Admin{db} }

// InTx runs fn in a transaction and commits it if fn returns nil, else rolls
// it back and returns fn's error. A panic rolls back and goes on.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	tx := db.Begin()
	defer tx.Rollback()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return tx.Commit()
}

// Get returns the committed value of a key, "" where there is none.
func (db *DB) Get(key string) string {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.values[key]
}

// Values returns all committed values.
func (db *DB) Values() map[string]string {
	db.mu.Lock()
	defer db.mu.Unlock()
	all := make(map[string]string, len(db.values))
	for key, value := range db.values {
		all[key] = value
	}
	return all
}

// ErrTxDone is returned by a transaction that was committed or rolled back.
var ErrTxDone = errors.New("transaction has ended")
