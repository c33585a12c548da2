// Package connect opens databases and brokers by URL, for the programs: the
// command and the samples run unchanged on every store and broker. A service of
// one's own opens its store directly.
package connect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tidings.example/admin"
	"tidings.example/broker"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/relay"
	"tidings.example/saga"
	"tidings.example/timer"
)

// A Database is one store behind database/sql.
type Database struct {
	// Kind is "sqlite", "postgres" or "mysql".
	Kind   string
	SQL    *sql.DB
	Outbox *outbox.Outbox[*sql.Tx]
	Inbox  Inbox
	// Sagas, Commands, Timers and Replies are what orchestrators, participants, delayed
	// messages and those who wait for replies keep.
	Sagas    saga.Store[*sql.Tx]
	Commands command.Store[*sql.Tx]
	Timers   timer.Store[*sql.Tx]
	Replies  command.ReplyStore[*sql.Tx]
	Admin    Admin
	// Log is the operator's side of reading the outbox from the database's commit
	// log; nil where the database has none that a relay can read.
	Log admin.Log
	// DoctorLog examines what reading the log needs; nil where Log is.
	DoctorLog func(ctx context.Context) []admin.Finding
	// Relay returns the outbox as a relay reads it, under the name of its source.
	// It is a [relay.LogSource] where Log is not nil.
	Relay func(source string) relay.Source
	// Ready returns nil or why the database cannot be used now.
	Ready func(ctx context.Context) error
	Close func() error
}

// ErrNoLog is the answer of what reads a commit log, for a database without one.
var ErrNoLog = errors.New("this database has no commit log that a relay can read: PostgreSQL, MySQL and MariaDB have; the outbox is read from its table")

// NeedLog returns an error wrapping [ErrNoLog] where Log is nil.
func (d *Database) NeedLog() error {
	if d.Log == nil {
		return fmt.Errorf("%s: %w", d.Kind, ErrNoLog)
	}
	return nil
}

// Inbox is both sides of a store's inbox.
type Inbox interface {
	inbox.Store[*sql.Tx]
	inbox.ParkedStore[*sql.Tx]
}

// Admin is everything that an operator can ask of a store.
type Admin interface {
	admin.Parked
	admin.Outbox
	admin.Migrator
	admin.Doctor
	admin.Auditor
	admin.Capture
	admin.Sagas
	admin.Locks
	admin.Pending
}

// A Broker is both directions of a broker.
type Broker struct {
	// Kind is "kafka" or "nats".
	Kind string
	broker.Publisher
	broker.Subscriber
	broker.Provisioner
	broker.RetainedReader
	admin.Doctor
	Ready func(ctx context.Context) error
	Close func() error
}
