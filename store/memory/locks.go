package memory

import (
	"context"
	"errors"
	"fmt"
)

// ErrDeadlock is wrapped by the error that one of several transactions gets
// that wait for each other. It is transient: the transaction succeeds when it is tried again.
var ErrDeadlock = errors.New("deadlock")

// locks are exclusive locks on whatever can be a map key. The database's mutex
// guards them.
type locks struct {
	owners map[any]*Tx
	// freed is closed, and replaced, whenever locks are given up.
	freed chan struct{}
}

// acquire gives the transaction the lock until it ends, waiting for its owner.
func (tx *Tx) acquire(ctx context.Context, key any) error {
	db := tx.db
	db.mu.Lock()
	defer db.mu.Unlock()
	for {
		owner := db.locks.owners[key]
		switch {
		case tx.ended:
			return ErrTxDone
		case owner == tx:
			return nil
		case owner == nil:
			db.locks.owners[key] = tx
			tx.locked = append(tx.locked, key)
			return nil
		case db.locks.waitsFor(owner, tx):
			return fmt.Errorf("lock %v: %w", key, ErrDeadlock)
		}
		tx.waiting = key
		freed := db.locks.freed
		db.mu.Unlock()
		var err error
		select {
		case <-freed:
		case <-ctx.Done():
			err = fmt.Errorf("lock %v: %w", key, ctx.Err())
		}
		db.mu.Lock()
		tx.waiting = nil
		if err != nil {
			return err
		}
	}
}

// waitsFor reports whether a waits, directly or not, for what b has locked.
func (l *locks) waitsFor(a, b *Tx) bool {
	for a != nil && a.waiting != nil {
		if a = l.owners[a.waiting]; a == b {
			return true
		}
	}
	return false
}

// release gives up the transaction's locks.
func (l *locks) release(tx *Tx) {
	for _, key := range tx.locked {
		delete(l.owners, key)
	}
	tx.locked = nil
	close(l.freed)
	l.freed = make(chan struct{})
}
