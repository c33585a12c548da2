// Package admin is what an operator asks of a running system and does to it:
// the port behind the command line and the console alike. Stores and brokers
// implement its interfaces.
//
// Every action that changes something takes an [Action], which says who and
// why; the store writes both to its audit table in the same transaction.
package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example"
)

// ErrNotFound is returned for an id that does not exist (any more).
var ErrNotFound = errors.New("not found")

// An Action says who changes something and why. Reason is required.
type Action struct {
	Actor  string
	Reason string
}

// Validate returns an error naming the field that is missing.
func (a Action) Validate() error {
	switch {
	case a.Reason == "":
		return fmt.Errorf("reason is empty: say why, it is kept in the audit table")
	case len(a.Reason) > 1000:
		return fmt.Errorf("reason has %d bytes, more than 1000", len(a.Reason))
	case a.Actor == "":
		return fmt.Errorf("actor is empty: say who acts")
	}
	return nil
}

// A Parked answers questions about parked messages and changes them.
type Parked interface {
	// ListParked returns parked messages, oldest first, without payloads.
	ListParked(ctx context.Context, f ParkedFilter) ([]ParkedMessage, error)
	// GetParked returns one parked message, whole, or ErrNotFound.
	GetParked(ctx context.Context, id int64) (ParkedMessage, error)
	// RetryParked asks the subscriber's inbox to work off the key of a parked
	// message, in order, starting with the key's oldest; it does so within a
	// second or so. ErrNotFound if the message is not there.
	RetryParked(ctx context.Context, id int64, a Action) error
	// EditParked replaces a parked message's payload, keeping the old one in the audit table.
	EditParked(ctx context.Context, id int64, payload []byte, a Action) error
	// DiscardParked removes a parked message for good, keeping it whole in the
	// audit table. What waits behind it is retried, in order.
	DiscardParked(ctx context.Context, id int64, a Action) error
}

// A ParkedFilter selects parked messages; zero fields select everything.
type ParkedFilter struct {
	Subscriber string
	Channel    string
	Key        string
	// Heads selects only the oldest message of each key: those that failed.
	Heads bool
	// After is the id to continue after; Limit defaults to 100.
	After int64
	Limit int
}

// A ParkedMessage is a message that an inbox set aside.
type ParkedMessage struct {
	ID         int64
	Subscriber string
	Message    tidings.Message
	Reason     string
	Attempts   int
	ParkedAt   time.Time
	// Behind is how many messages of the key come before this one.
	Behind int
	// RetryAsked is set while the inbox has a retry of the key to do.
	RetryAsked bool
}

// An Outbox answers questions about an outbox and its set-aside rows.
type Outbox interface {
	// Backlog describes what is not published yet.
	Backlog(ctx context.Context) (Backlog, error)
	// ListSetAside returns rows that the relay could not publish, by position.
	ListSetAside(ctx context.Context, limit int) ([]SetAsideRow, error)
	// RetrySetAside asks the relay to try all rows of the key again.
	RetrySetAside(ctx context.Context, channel, key string, a Action) error
	// DiscardSetAside removes one row for good, keeping it whole in the audit table.
	DiscardSetAside(ctx context.Context, position int64, a Action) error
}

// A Backlog is the state of an outbox and its relay.
type Backlog struct {
	Rows int64
	// Oldest is the age of the oldest row that is not published; 0 if none.
	Oldest   time.Duration
	SetAside int64
	// Source, Holder, Fence, Expires, Epoch describe the lease; Holder is
	// empty while nobody holds it.
	Source  string
	Holder  string
	Fence   int64
	Expires time.Duration
	Epoch   string
}

// A SetAsideRow is an outbox row that the relay could not publish.
type SetAsideRow struct {
	Position   int64
	Message    tidings.Message
	Reason     string
	AsideAt    time.Time
	RetryAsked bool
}

// A Migrator creates and changes the tables of a database.
type Migrator interface {
	// Migrate applies what is missing and returns what it applied.
	Migrate(ctx context.Context) ([]Migration, error)
	// Migrations lists all migrations with when each was applied.
	Migrations(ctx context.Context) ([]Migration, error)
	// MigrationSQL is the whole text, for people who run SQL by hand.
	MigrationSQL() (string, error)
}

// A Migration is one numbered change of the tables.
type Migration struct {
	Version int64
	Name    string
	// AppliedAt is zero for one that is pending.
	AppliedAt time.Time
}

// A Doctor examines a server: connection, version, settings, privileges,
// tables, clock. It returns findings, not an error: what cannot be examined is
// a finding.
type Doctor interface {
	Doctor(ctx context.Context) []Finding
}

// Status is how good or bad a finding is.
type Status string

// The three values of Status.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// A Finding is one thing that a Doctor looked at.
type Finding struct {
	// Name is what was looked at, in two or three words.
	Name   string
	Status Status
	// Detail is what was found, Advice what to do about it; Advice is empty for OK.
	Detail string
	Advice string
}
