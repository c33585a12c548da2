package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tidings.example/admin"
	"tidings.example/command"
)

const (
	listLocksSQL = `SELECT l.participant, l.target, l.saga_type, l.saga_id, l.since,
		(SELECT count(*) FROM tidings_command_aside a WHERE a.participant = l.participant AND a.target = l.target)
	FROM tidings_command_lock l
	WHERE ($1 = '' OR l.participant = $1) AND ($2 = '' OR l.target = $2) AND ($3 = '' OR l.saga_type = $3) AND ($4 = '' OR l.saga_id = $4)
		AND ($5::bigint = 0 OR l.since <= clock_timestamp() - $5 * interval '1 microsecond')
	ORDER BY l.since, l.participant, l.target LIMIT $6`

	breakLockSQL = `DELETE FROM tidings_command_lock WHERE participant = $1 AND target = $2 RETURNING saga_type, saga_id, since`

	countPendingSQL = `WITH locks AS (SELECT count(*) AS n, min(since) AS oldest FROM tidings_command_lock),
	due AS (SELECT count(*) AS n, count(*) FILTER (WHERE at <= clock_timestamp()) AS overdue, min(at) AS first
		FROM (SELECT due_at AS at FROM tidings_timer UNION ALL SELECT wake_at FROM tidings_saga WHERE wake_at IS NOT NULL) AS times)
	SELECT locks.n, COALESCE((extract(epoch FROM clock_timestamp() - locks.oldest) * 1000000)::bigint, 0),
		(SELECT count(*) FROM tidings_command_aside),
		due.n, due.overdue, COALESCE((extract(epoch FROM clock_timestamp() - due.first) * 1000000)::bigint, 0)
	FROM locks, due`
)

// ListLocks returns locks, oldest first.
func (a *Admin) ListLocks(ctx context.Context, f admin.LockFilter) (all []admin.Lock, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	args := []any{f.Participant, f.Target, f.SagaType, f.SagaID, f.Older.Microseconds(), limit}
	err = a.db.onPool().run(ctx, statement{sql: listLocksSQL, args: args, row: func(scan func(...any) error) error {
		var l admin.Lock
		err := scan(&l.Participant, &l.Target, &l.SagaType, &l.SagaID, &l.Since, &l.Waiting)
		l.Since = l.Since.UTC()
		all = append(all, l)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", a.db.advise(ctx, err))
	}
	return all, nil
}

// brokenLock is a lock as the audit table keeps it.
type brokenLock struct {
	SagaType string    `json:"sagaType"`
	SagaID   string    `json:"sagaId"`
	Since    time.Time `json:"since"`
}

// BreakLock removes a lock. It waits for a transaction that uses the target.
func (a *Admin) BreakLock(ctx context.Context, participant, target string, act admin.Action) error {
	return a.change(ctx, "break lock", act, func(r runner) (string, string, error) {
		var was brokenLock
		found := false
		err := r.run(ctx, lockTarget(command.Target{Participant: participant, Name: target}),
			statement{sql: breakLockSQL, args: []any{participant, target}, row: func(scan func(...any) error) error {
				found = true
				return scan(&was.SagaType, &was.SagaID, &was.Since)
			}})
		if err == nil && !found {
			err = fmt.Errorf("%q of %s: %w", target, participant, admin.ErrNotFound)
		}
		if err != nil {
			return "", "", err
		}
		was.Since = was.Since.UTC()
		detail, err := json.Marshal(was)
		return fmt.Sprintf("lock of %s on %q", participant, target), string(detail), err
	})
}

// CountPending counts locks, commands that wait for one, and times.
func (a *Admin) CountPending(ctx context.Context) (c admin.PendingCount, err error) {
	var oldest, late int64
	err = a.db.onPool().run(ctx, statement{sql: countPendingSQL, row: func(scan func(...any) error) error {
		return scan(&c.Locks, &oldest, &c.SetAside, &c.Timers, &c.Overdue, &late)
	}})
	if err != nil {
		return admin.PendingCount{}, fmt.Errorf("count what is pending: %w", a.db.advise(ctx, err))
	}
	c.OldestLock = max(time.Duration(oldest)*time.Microsecond, 0)
	c.Late = max(time.Duration(late)*time.Microsecond, 0)
	return c, nil
}
