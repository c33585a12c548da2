// Package connect opens databases and brokers by URL, for the programs: the
// command and the samples run unchanged on every store and broker. A service of
// one's own opens its store directly.
package connect

import (
	"context"
	"database/sql"

	"tidings.example/admin"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/relay"
)

// A Database is one store behind database/sql.
type Database struct {
	// Kind is "sqlite", "postgres" or "mysql".
	Kind   string
	SQL    *sql.DB
	Outbox *outbox.Outbox[*sql.Tx]
	Inbox  Inbox
	Admin  Admin
	// Relay returns the outbox as a relay reads it, under the name of its source.
	Relay func(source string) relay.Source
	// Ready returns nil or why the database cannot be used now.
	Ready func(ctx context.Context) error
	Close func() error
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
}

// A Broker is both directions of a broker.
type Broker struct {
	// Kind is "kafka" or "nats".
	Kind string
	broker.Publisher
	broker.Subscriber
	broker.Provisioner
	admin.Doctor
	Ready func(ctx context.Context) error
	Close func() error
}
