package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrDeadlock is wrapped by the error that one of several transactions gets
// that wait for each other. It is transient: the transaction succeeds when it is tried again.
var ErrDeadlock = errors.New("deadlock")

// locks are exclusive locks on whatever can be a map key. They are handed over
// in the order of asking: a transaction that lost a deadlock and begins anew
// must not be faster than the one that it gave way to. The database's mutex
// guards them.
type locks struct {
	owners map[any]*Tx
	queues map[any][]*waiter
}

// A waiter waits for its transaction to become the owner of a lock.
type waiter struct {
	tx  *Tx
	got chan struct{}
}

// acquire gives the transaction the lock until it ends, waiting for its turn.
func (tx *Tx) acquire(ctx context.Context, key any) error {
	l, db := &tx.db.locks, tx.db
	db.mu.Lock()
	defer db.mu.Unlock()
	switch owner := l.owners[key]; {
	case tx.ended:
		return ErrTxDone
	case owner == tx:
		return nil
	case owner == nil:
		l.give(key, tx)
		return nil
	case l.waitsFor(owner, tx):
		return fmt.Errorf("lock %v: %w", key, ErrDeadlock)
	}
	w := &waiter{tx: tx, got: make(chan struct{})}
	l.queues[key] = append(l.queues[key], w)
	tx.waiting = key
	db.mu.Unlock()
	select {
	case <-w.got:
	case <-ctx.Done():
	}
	db.mu.Lock()
	tx.waiting = nil
	if l.owners[key] == tx {
		return nil
	}
	l.queues[key] = slices.DeleteFunc(l.queues[key], func(other *waiter) bool { return other == w })
	return fmt.Errorf("lock %v: %w", key, ctx.Err())
}

// tryAcquire gives the transaction the lock if no other one has it. It is called
// with the database's mutex held, in a transaction that has not ended.
func (tx *Tx) tryAcquire(key any) bool {
	l := &tx.db.locks
	owner := l.owners[key]
	if owner == nil {
		l.give(key, tx)
	}
	return owner == nil || owner == tx
}

func (l *locks) give(key any, tx *Tx) {
	l.owners[key] = tx
	tx.locked = append(tx.locked, key)
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

// release hands the transaction's locks over to those who wait for them.
func (l *locks) release(tx *Tx) {
	for _, key := range tx.locked {
		delete(l.owners, key)
		if queue := l.queues[key]; len(queue) > 0 {
			first := queue[0]
			l.queues[key] = queue[1:]
			first.tx.waiting = nil
			l.give(key, first.tx)
			close(first.got)
		}
		if len(l.queues[key]) == 0 {
			delete(l.queues, key)
		}
	}
	tx.locked = nil
}
