// Package outbox appends messages in the caller's own transaction: either the
// transaction commits, and a relay publishes them, or it rolls back, and they
// never existed.
//
// A store gives the outbox of its database (postgres.DB.Outbox and its like).
// Its type parameter is the transaction type of the user's driver, so an append
// without a transaction, or with another driver's, does not compile.
package outbox

import (
	"context"
	"fmt"
	"time"

	"tidings.example"
)

// DefaultMaxPayload is the default bound on a payload, in bytes. It leaves room
// for the headers below the 1 MiB that Kafka and NATS take by default.
const DefaultMaxPayload = 900 << 10

// A Store inserts messages into the outbox of one database.
type Store[Tx any] interface {
	// Insert adds the messages, which are complete and valid, in order, in
	// tx, which stays the caller's to commit.
	Insert(ctx context.Context, tx Tx, ms []tidings.Message) error
}

// An Outbox appends messages in transactions of type Tx. Its methods may be
// called by several goroutines, each with its own transaction.
type Outbox[Tx any] struct {
	store      Store[Tx]
	maxPayload int
}

// New returns an outbox over a store. maxPayload bounds payloads, in bytes; 0
// means [DefaultMaxPayload]. Users get theirs from the store's own Outbox method.
func New[Tx any](store Store[Tx], maxPayload int) *Outbox[Tx] {
	if maxPayload <= 0 {
		maxPayload = DefaultMaxPayload
	}
	return &Outbox[Tx]{store: store, maxPayload: maxPayload}
}

// Append adds the messages to the outbox, in order, in tx. Empty ids, times and
// content types are filled in, in the caller's slice too, so that the caller
// can read the ids. Inside a handler the messages carry on the correlation id and the trace
// of the message being handled, and name it as their cause, unless they say
// otherwise themselves.
//
// A message that breaks a rule gives an error matching [tidings.ErrInvalid]
// that names the field, before anything is written. Any other error comes from the
// database; the transaction should then be rolled back. Nothing is published
// unless the transaction commits. Of one key, messages are published in the
// order of these calls; between transactions that run at the same time, see the
// relay's source for what it takes as the order of commit.
func (o *Outbox[Tx]) Append(ctx context.Context, tx Tx, ms ...tidings.Message) error {
	if len(ms) == 0 {
		return nil
	}
	err := o.Complete(ctx, ms)
	if err == nil {
		err = o.store.Insert(ctx, tx, ms)
	}
	if err != nil {
		return fmt.Errorf("append to outbox: %w", err)
	}
	return nil
}

// Complete does to the messages what Append does before it writes them: it fills
// in what is empty, carries on the correlation id and the trace of the message being
// handled, and checks them. It is for those who keep messages to append them later.
func (o *Outbox[Tx]) Complete(ctx context.Context, ms []tidings.Message) error {
	cause := tidings.Cause(ctx)
	for i := range ms {
		complete(&ms[i], cause)
		if err := o.check(&ms[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox[Tx]) check(m *tidings.Message) error {
	if len(m.Payload) > o.maxPayload {
		return &tidings.InvalidError{Field: "payload",
			Rule: fmt.Sprintf("has %d bytes, more than the outbox's limit of %d", len(m.Payload), o.maxPayload)}
	}
	return m.Validate()
}

func complete(m *tidings.Message, cause *tidings.Message) {
	if m.ID == "" {
		m.ID = tidings.NewID()
	}
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	// Microseconds are what every store keeps.
	m.Time = m.Time.UTC().Truncate(time.Microsecond)
	if m.ContentType == "" {
		m.ContentType = "application/json"
	}
	if cause != nil {
		inherit(m, cause)
	}
}

func inherit(m, cause *tidings.Message) {
	headers := make(tidings.Headers, len(m.Headers)+3)
	headers[tidings.HeaderCausationID] = cause.ID
	headers[tidings.HeaderCorrelationID] = cause.ID
	if id := cause.Headers[tidings.HeaderCorrelationID]; id != "" {
		headers[tidings.HeaderCorrelationID] = id
	}
	if trace := cause.Headers[tidings.HeaderTraceparent]; trace != "" {
		headers[tidings.HeaderTraceparent] = trace
	}
	for name, value := range m.Headers {
		headers[name] = value
	}
	m.Headers = headers
}
