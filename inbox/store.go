package inbox

import (
	"context"
	"time"

	"tidings.example"
)

// A Store keeps an inbox's records in the consumer's database, in transactions
// of type Tx.
type Store[Tx any] interface {
	// InTx runs fn in a new transaction and commits it when fn returns nil,
	// else rolls it back and returns fn's error. When the commit itself
	// fails it returns that error; whether the transaction took effect may
	// then be unknown, and the caller asks the records by trying again. A
	// panic in fn rolls back and goes on.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error

	// Lock returns what is recorded for the lanes, keys and ids, and keeps
	// other transactions from changing or reading the same through Lock until
	// tx ends. Lanes that have no record yet are created. Lanes, keys and ids
	// come sorted, so that two transactions cannot wait for each other.
	// What Lock returns was committed, or written by tx, also where tx began
	// before another transaction committed it.
	Lock(ctx context.Context, tx Tx, subscriber string, want Want) (Records, error)

	// Save writes what has changed.
	Save(ctx context.Context, tx Tx, subscriber string, changes Changes) error

	// Transient reports whether an error of this database may not come again
	// when the transaction is tried again: deadlock, serialization failure,
	// lost connection, lock timeout, server starting or stopping.
	Transient(err error) bool
}

// Want names the records that a transaction is about.
type Want struct {
	Lanes []tidings.Lane
	Keys  []HeldKey
	// IDs are of messages without a lane.
	IDs []MessageID
}

// Records are the answers to a Want, index by index.
type Records struct {
	Lanes []LaneState
	// Held tells which keys have parked messages.
	Held []bool
	// Seen tells which ids were recorded before.
	Seen []bool
}

// Changes are what a transaction records.
type Changes struct {
	Lanes []LaneState
	// IDs are recorded as seen now.
	IDs []MessageID
	// Park stores messages and holds their keys. Those of one key are stored
	// in order behind the ones already there.
	Park []Parked
}

// A MessageID identifies a message without a lane.
type MessageID struct{ Source, ID string }

// A HeldKey is a key whose messages wait because an earlier one was parked.
// Source is part of it because order is promised per source.
type HeldKey struct{ Source, Channel, Key string }

// A Parked message was set aside: it failed, or it waits behind one that did.
type Parked struct {
	// ID is given by the store; ids grow in the order of parking.
	ID      int64
	Message tidings.Message
	// Reason is the last error, or says what the message waits behind.
	Reason string
	// Attempts is how often the handler was called; 0 for one that only waits.
	Attempts int
	// ParkedAt is when, by the database's or the store's clock.
	ParkedAt time.Time
}

// HeldKey is the key that the message holds, or waits under.
func (p *Parked) HeldKey() HeldKey { return heldKey(&p.Message) }

func heldKey(m *tidings.Message) HeldKey {
	return HeldKey{Source: m.Source, Channel: m.Channel, Key: m.OrderingKey()}
}

// A ParkedStore lets an inbox work off the messages of held keys. All of its
// methods but Requests take part in the caller's transaction.
type ParkedStore[Tx any] interface {
	// Requests returns up to limit held keys whose retry was asked for.
	Requests(ctx context.Context, subscriber string, limit int) ([]HeldKey, error)
	// First locks the key until tx ends and returns the oldest of its parked
	// messages. With none left it releases the key and returns nil. It returns nil as well
	// where the key is not held.
	First(ctx context.Context, tx Tx, subscriber string, key HeldKey) (*Parked, error)
	// Remove deletes a parked message that was handled.
	Remove(ctx context.Context, tx Tx, subscriber string, id int64) error
	// Fail records another failed attempt at a parked message, and takes the
	// request to retry its key back.
	Fail(ctx context.Context, tx Tx, subscriber string, p *Parked) error
	// Forget removes the records of ids without a lane that were seen longer
	// than age ago, at most limit at a time, and returns how many those were.
	Forget(ctx context.Context, subscriber string, age time.Duration, limit int) (int, error)
}

// A HeldCounter is a store that can count held keys; it is optional.
type HeldCounter interface {
	// CountHeld returns how many keys of the subscriber are held, and for how
	// long the one has been that was held first; 0 for none.
	CountHeld(ctx context.Context, subscriber string) (keys int, oldest time.Duration, err error)
}
