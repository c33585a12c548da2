// Package storetest is what every store must pass: the contracts of outbox,
// relay source, inbox, parked messages, sagas, timers, commands and administration, as tests.
//
// A store's own test gives it a [Harness]:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness[pgx.Tx]{Open: open, OpenEmpty: openEmpty})
//	}
//
// The tests use the store through its public side, and one database each.
package storetest

import (
	"context"
	"testing"

	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/relay"
	"tidings.example/saga"
	"tidings.example/timer"
)

// A Harness makes databases for the tests of one store. Tx is the store's
// transaction type.
type Harness[Tx any] struct {
	// Open returns a new database with its tables. It is removed after the test.
	Open func(t *testing.T) DB[Tx]
	// OpenEmpty returns a new database without tables. It is nil for a store
	// that has no migrations.
	OpenEmpty func(t *testing.T) DB[Tx]
	// OneWriter is set for a store where a transaction that writes excludes all
	// others: tests that need two of them open are left out.
	OneWriter bool
}

// A DB is one database of the store under test. Fields that say so may be nil;
// the tests that need them are left out then.
type DB[Tx any] struct {
	Outbox *outbox.Outbox[Tx]
	Inbox  inbox.Storage[Tx]
	Relay  func(source string) relay.Source
	Admin  Admin

	// Sagas, Timers, Commands and Replies may be nil, and so may Operator, which
	// is what an operator can ask of the first and of the third.
	Sagas    saga.Store[Tx]
	Timers   timer.Store[Tx]
	Commands command.Store[Tx]
	Replies  command.ReplyStore[Tx]
	Operator Operator

	// Begin, Commit and Rollback are the user's own transactions.
	Begin    func(ctx context.Context) (Tx, error)
	Commit   func(ctx context.Context, tx Tx) error
	Rollback func(ctx context.Context, tx Tx) error

	// Audit returns what the audit table holds, oldest first.
	Audit func(ctx context.Context) ([]Audit, error)

	// Migrator and Doctor may be nil.
	Migrator admin.Migrator
	Doctor   admin.Doctor
	// Ready says why the database cannot be used. It may be nil.
	Ready func(ctx context.Context) error
	// Exec runs SQL text of one or more statements. It may be nil.
	Exec func(ctx context.Context, script string) error
	// Cut breaks the connection of an open transaction, as a lost network or a
	// restarted server does. It may be nil.
	Cut func(ctx context.Context, tx Tx) error
}

// Admin is what an operator can ask of any store.
type Admin interface {
	admin.Parked
	admin.Outbox
}

// An Operator asks about sagas and locks.
type Operator interface {
	admin.Sagas
	admin.Locks
}

// An Audit is a row of the audit table.
type Audit struct{ Actor, Action, Target, Reason, Detail string }

// Run runs all tests.
func Run[Tx any](t *testing.T, h Harness[Tx]) {
	t.Helper()
	groups := []struct {
		name  string
		tests []testCase[Tx]
		// has is nil for a part that every store has.
		has func(db DB[Tx]) bool
	}{
		// First and alone: it measures time.
		{name: "Wait", tests: waitTests[Tx]()},
		{name: "Outbox", tests: outboxTests[Tx]()},
		{name: "Read", tests: readTests[Tx]()},
		{name: "Lease", tests: leaseTests[Tx]()},
		{name: "Change", tests: changeTests[Tx]()},
		{name: "Inbox", tests: inboxTests[Tx]()},
		{name: "Parked", tests: parkedTests[Tx]()},
		{name: "Admin", tests: adminTests[Tx]()},
		{"Sagas", sagaTests[Tx](), func(db DB[Tx]) bool { return db.Sagas != nil }},
		{"SagaAdmin", sagaAdminTests[Tx](), func(db DB[Tx]) bool { return db.Sagas != nil && db.Operator != nil }},
		{"Timers", timerTests[Tx](), func(db DB[Tx]) bool { return db.Timers != nil }},
		{"Commands", commandTests[Tx](), func(db DB[Tx]) bool { return db.Commands != nil }},
		{"LockAdmin", lockAdminTests[Tx](), func(db DB[Tx]) bool { return db.Commands != nil && db.Operator != nil }},
		{"Replies", replyTests[Tx](), func(db DB[Tx]) bool { return db.Replies != nil }},
		{"Undecodable", undecodableTests[Tx](), func(db DB[Tx]) bool {
			return db.Timers != nil && db.Commands != nil && db.Replies != nil
		}},
		{name: "Migrate", tests: migrateTests[Tx]()},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				if test.twoWriters && h.OneWriter || test.empty && h.OpenEmpty == nil {
					continue
				}
				t.Run(test.name, func(t *testing.T) {
					if group.name != "Wait" {
						t.Parallel()
					}
					open := h.Open
					if test.empty {
						open = h.OpenEmpty
					}
					db := open(t)
					if group.has != nil && !group.has(db) {
						t.Skip("the store has no such part")
					}
					test.run(newEnv(t, db))
				})
			}
		})
	}
}

// A testCase is one test, with what it needs.
type testCase[Tx any] struct {
	name string
	run  func(e *env[Tx])
	// twoWriters: two transactions that write are open at the same time.
	twoWriters bool
	// empty: the database has no tables.
	empty bool
}
