package memory

import (
	"context"
	"iter"
	"slices"
	"time"

	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/saga"
)

// A Tx is a transaction. It is used by one goroutine at a time.
type Tx struct {
	db    *DB
	ended bool
	// locked is what it has locked, waiting what it waits to lock.
	locked  []any
	waiting any

	// What it has written; the database gets it at the commit.
	values   changes[string, string]
	lanes    changes[laneKey, inbox.LaneState]
	seen     changes[seenKey, time.Time]
	held     changes[heldKey, hold]
	parked   changes[int64, parkedRow]
	sagas    changes[saga.Ref, sagaRow]
	timers   changes[timerKey, timerRow]
	targets  changes[command.Target, lockRow]
	asides   changes[int64, command.Aside]
	answers  changes[answerKey, answerRow]
	replies  changes[replyKey, answerRow]
	appended []outboxRow
	audit    []Audit
}

// changes are the rows of a table that a transaction has written; nil for one
// that it has deleted.
type changes[K comparable, V any] map[K]*V

// get returns a row as the transaction sees it.
func (c changes[K, V]) get(committed map[K]V, key K) (v V, ok bool) {
	if mine, written := c[key]; written {
		if mine == nil {
			return v, false
		}
		return *mine, true
	}
	v, ok = committed[key]
	return v, ok
}

// all are the rows of a table as the transaction sees them.
func (c changes[K, V]) all(committed map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for key, v := range committed {
			if _, written := c[key]; !written && !yield(key, v) {
				return
			}
		}
		for key, v := range c {
			if v != nil && !yield(key, *v) {
				return
			}
		}
	}
}

func (c changes[K, V]) apply(table map[K]V) {
	for key, v := range c {
		if v == nil {
			delete(table, key)
		} else {
			table[key] = *v
		}
	}
}

// Begin begins a transaction. It holds nothing until it reads or writes.
func (db *DB) Begin() *Tx {
	return &Tx{
		db:     db,
		values: changes[string, string]{},
		lanes:  changes[laneKey, inbox.LaneState]{},
		seen:   changes[seenKey, time.Time]{},
		held:   changes[heldKey, hold]{},
		parked: changes[int64, parkedRow]{},

		sagas:   changes[saga.Ref, sagaRow]{},
		timers:  changes[timerKey, timerRow]{},
		targets: changes[command.Target, lockRow]{},
		asides:  changes[int64, command.Aside]{},
		answers: changes[answerKey, answerRow]{},
		replies: changes[replyKey, answerRow]{},
	}
}

// Commit makes everything that was written visible at once. It returns
// ErrTxDone for a transaction that has ended.
func (tx *Tx) Commit() error {
	db := tx.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if tx.ended {
		return ErrTxDone
	}
	tx.values.apply(db.values)
	tx.lanes.apply(db.lanes)
	tx.seen.apply(db.seen)
	tx.held.apply(db.held)
	tx.parked.apply(db.parked)
	tx.sagas.apply(db.sagas)
	tx.timers.apply(db.timers)
	tx.targets.apply(db.targets)
	tx.asides.apply(db.asides)
	tx.answers.apply(db.answers)
	tx.replies.apply(db.replies)
	db.audit = append(db.audit, tx.audit...)
	db.outbox.add(tx.appended)
	tx.end()
	return nil
}

// Rollback forgets everything that was written. It does nothing to a
// transaction that has ended.
func (tx *Tx) Rollback() {
	tx.db.mu.Lock()
	defer tx.db.mu.Unlock()
	if !tx.ended {
		tx.end()
	}
}

// end is called with the database's mutex held.
func (tx *Tx) end() {
	tx.ended = true
	tx.db.locks.release(tx)
}

// view calls f with the database's mutex held, unless the transaction has ended.
func (tx *Tx) view(f func(db *DB)) error {
	tx.db.mu.Lock()
	defer tx.db.mu.Unlock()
	if tx.ended {
		return ErrTxDone
	}
	f(tx.db)
	return nil
}

// valueLock is what locks a user's value.
type valueLock struct{ key string }

// Get returns the value of a key, "" where there is none, and locks it. It
// waits while another transaction has it locked; the error is ctx's, or
// matches ErrDeadlock.
func (tx *Tx) Get(ctx context.Context, key string) (value string, err error) {
	if err := tx.acquire(ctx, valueLock{key}); err != nil {
		return "", err
	}
	err = tx.view(func(db *DB) { value, _ = tx.values.get(db.values, key) })
	return value, err
}

// Put sets the value of a key, and locks it as Get does.
func (tx *Tx) Put(ctx context.Context, key, value string) error {
	if err := tx.acquire(ctx, valueLock{key}); err != nil {
		return err
	}
	return tx.view(func(*DB) { tx.values[key] = &value })
}

// Delete removes a key, and locks it as Get does.
func (tx *Tx) Delete(ctx context.Context, key string) error {
	if err := tx.acquire(ctx, valueLock{key}); err != nil {
		return err
	}
	return tx.view(func(*DB) { tx.values[key] = nil })
}

// parkedIDs returns the ids of the parked messages that the transaction sees,
// in order. The database's mutex is held.
func (tx *Tx) parkedIDs(match func(parkedRow) bool) []int64 {
	var ids []int64
	for id, row := range tx.parked.all(tx.db.parked) {
		if match(row) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
