package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A queue lets one writer of this process at a time go on, in the order in
// which they came. SQLite's own way is to sleep up to 100 ms and to ask again,
// while a newcomer may slip in.
type queue struct {
	mu      sync.Mutex
	busy    bool
	waiting []chan struct{}
}

// errQueueTimeout is what a writer gets that has waited for the busy timeout.
var errQueueTimeout = errors.New("database is locked: another write transaction of this process stays open " +
	"(a goroutine that writes outside the transaction that it has open waits for itself)")

// acquire waits for the caller's turn, for at most limit. The caller must call
// release unless it got an error.
func (q *queue) acquire(ctx context.Context, limit time.Duration) error {
	q.mu.Lock()
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, turn)
	q.mu.Unlock()

	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errQueueTimeout
	}
	if !q.leave(turn) {
		// The turn came at the same moment: pass it on.
		q.release()
	}
	return err
}

// leave takes a waiter out of the queue; it returns false if its turn has come.
func (q *queue) leave(turn chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, c := range q.waiting {
		if c == turn {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// release hands the turn to the one who waits longest.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy = false
		return
	}
	next := q.waiting[0]
	q.waiting = q.waiting[1:]
	close(next)
}
