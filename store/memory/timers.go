package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/timer"
)

// Timers keeps delayed messages.
type Timers struct{ db *DB }

var _ timer.Store[*Tx] = (*Timers)(nil)

// timerKey is a message's id.
type timerKey struct{ id string }

type timerRow struct {
	// position is the order of storing.
	position int64
	due      time.Time
	message  tidings.Message
}

// InTx runs fn in a transaction.
func (t *Timers) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return t.db.InTx(ctx, fn)
}

// Transient reports whether the error is a deadlock.
func (t *Timers) Transient(err error) bool { return transient(err) }

// Delay stores messages until due. An id that is there already is an error.
func (t *Timers) Delay(ctx context.Context, tx *Tx, due time.Time, ms []tidings.Message) error {
	for i := range ms {
		key := timerKey{ms[i].ID}
		if err := tx.acquire(ctx, key); err != nil {
			return err
		}
		there := false
		err := tx.view(func(db *DB) {
			if _, there = tx.timers.get(db.timers, key); there {
				return
			}
			db.lastTimer++
			tx.timers[key] = &timerRow{db.lastTimer, micro(due), clone(&ms[i])}
		})
		if err != nil {
			return err
		}
		if there {
			return fmt.Errorf("delay message %q: one with this id is delayed already", key.id)
		}
	}
	return nil
}

// Cancel removes a delayed message. It waits for a transaction that takes it.
func (t *Timers) Cancel(ctx context.Context, tx *Tx, id string) (there bool, err error) {
	key := timerKey{id}
	if err := tx.acquire(ctx, key); err != nil {
		return false, err
	}
	err = tx.view(func(db *DB) {
		if _, there = tx.timers.get(db.timers, key); there {
			tx.timers[key] = nil
		}
	})
	return there, err
}

// Take removes and returns the messages that are due.
func (t *Timers) Take(_ context.Context, tx *Tx, now time.Time, limit int) (taken []tidings.Message, err error) {
	err = tx.view(func(db *DB) {
		var due []timerRow
		for _, row := range tx.timers.all(db.timers) {
			if !row.due.After(now) {
				due = append(due, row)
			}
		}
		slices.SortFunc(due, func(a, b timerRow) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.position, b.position)) })
		for i := range due {
			key := timerKey{due[i].message.ID}
			if len(taken) >= limit {
				break
			}
			if tx.tryAcquire(key) {
				tx.timers[key] = nil
				taken = append(taken, clone(&due[i].message))
			}
		}
	})
	return taken, err
}

// Next returns when the next message is due.
func (t *Timers) Next(context.Context) (due time.Time, ok bool, err error) {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	for _, row := range t.db.timers {
		if !ok || row.due.Before(due) {
			due, ok = row.due, true
		}
	}
	return due, ok, nil
}
