package postgres

import (
	"context"
	"fmt"
	"time"

	"tidings.example/relay"
)

// sleep is how far a session is from being asleep. It is awake at first: then
// appenders do not notify it, and it looks for rows often. Falling asleep it
// takes the advisory lock that the trigger looks at:
//
//	awake: the lock is free; appenders share it and send nothing
//	falling asleep: locked, but not read since; an appender that shared the lock
//	  has committed by now, and what it wrote is visible to the next read
//	asleep: locked, and read since; every append from now on sends a notification
type sleep struct {
	locked    bool // the session holds the lock
	confirmed bool // a read found nothing since it was taken
	stirred   bool // a read found something since it was taken
	notified  bool // a notification has come, and no read since
	lastRow   time.Time
	pause     time.Duration // how long to wait for the lock to be free
}

const (
	// While rows come at most this far apart the session stays awake.
	awakeFor = 10 * time.Millisecond
	// Awake it is read this often.
	awakePause = time.Millisecond
	// While an open transaction has appended, the session cannot fall asleep,
	// and reads after pauses that grow between these.
	minPause = 2 * time.Millisecond
	maxPause = 20 * time.Millisecond
	// statementTimeout bounds the statements of a Wait whose context is done.
	statementTimeout = 5 * time.Second
)

// wakes tells whether the session is to wake up with the next read.
func (s *sleep) wakes() bool { return s.locked && (s.notified || s.stirred) }

func (s *sleep) woken() { s.locked, s.confirmed, s.stirred, s.notified = false, false, false, false }

// read notes what a query has found.
func (s *sleep) read(q relay.Query, rows int) {
	if rows > 0 {
		s.lastRow, s.pause = time.Now(), 0
		s.stirred = s.locked
	}
	// A query of ranges alone has not looked for new rows.
	if q.Limit > 0 && s.locked {
		s.confirmed = true
	}
}

// The key is what the trigger uses; see the migration.
const (
	lockSQL   = `SELECT pg_try_advisory_lock(1952738919, $1)`
	unlockSQL = `SELECT pg_advisory_unlock(1952738919, $1)`
)

// lockKey is the second part of the key. An oid has no sign, an integer has: the
// bits are the same.
func (x *session) lockKey() int32 { return int32(x.table) }

// Wait returns when rows may have been committed, or after idle.
func (x *session) Wait(ctx context.Context, idle time.Duration) error {
	s := &x.sleep
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.locked && s.stirred:
		// Rows came without a notification (the trigger is off, somebody put
		// them back): wake up, so that appenders need not notify.
		if err := x.statement(ctx, unlockSQL, nil); err != nil {
			return err
		}
		s.woken()
		return nil
	case s.locked && !s.confirmed:
		return nil
	case s.locked:
		return x.await(ctx, idle)
	case time.Since(s.lastRow) < awakeFor:
		return pause(ctx, min(awakePause, idle))
	}
	var got bool
	if err := x.statement(ctx, lockSQL, &got); err != nil {
		return err
	}
	if got {
		s.locked, s.confirmed, s.stirred, s.notified, s.pause = true, false, false, false, 0
		return nil
	}
	s.pause = min(max(2*s.pause, minPause), maxPause)
	return pause(ctx, min(s.pause, idle))
}

// statement runs one of Wait's statements. Its context is not ctx: a statement
// that is cut off would break the connection.
func (x *session) statement(ctx context.Context, sql string, result *bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	var ok bool
	if err := x.work.QueryRow(ctx, sql, x.lockKey()).Scan(&ok); err != nil {
		return fmt.Errorf("wait for the outbox: %w", err)
	}
	if result != nil {
		*result = ok
	}
	return nil
}

// await waits for a notification.
func (x *session) await(ctx context.Context, idle time.Duration) error {
	if x.sleep.notified {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	err := x.work.PgConn().WaitForNotification(waiting)
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case waiting.Err() != nil && !x.work.IsClosed():
		return nil
	}
	return fmt.Errorf("wait for a notification: %w", err)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
