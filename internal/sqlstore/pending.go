package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"tidings.example/admin"
)

var _ admin.Pending = (*Operator)(nil)

// CountPending counts locks, commands that wait for one, and times. It reads
// indexes only.
func (o *Operator) CountPending(ctx context.Context) (c admin.PendingCount, err error) {
	now := o.db.Now()
	var lockedAt sql.NullInt64
	err = o.db.Pool.QueryRowContext(ctx, o.db.text(`SELECT n, micros(oldest), (SELECT COUNT(*) FROM tidings_command_aside)
	FROM (SELECT COUNT(*) AS n, MIN(since) AS oldest FROM tidings_command_lock) c`)).Scan(&c.Locks, &lockedAt, &c.SetAside)
	if err != nil {
		return c, fmt.Errorf("count locks: %w", err)
	}
	c.OldestLock = since(lockedAt, now)
	for _, of := range []struct{ table, column string }{{"tidings_timer", "due_at"}, {"tidings_saga", "wake_at"}} {
		var n, overdue int64
		var first sql.NullInt64
		query := fmt.Sprintf(`SELECT n, overdue, micros(oldest) FROM (SELECT COUNT(*) AS n,
	COUNT(CASE WHEN %[2]s <= @at THEN 1 END) AS overdue, MIN(%[2]s) AS oldest FROM %[1]s WHERE %[2]s IS NOT NULL) c`, of.table, of.column)
		if err := o.db.Pool.QueryRowContext(ctx, o.db.text(query), o.db.Time(now)).Scan(&n, &overdue, &first); err != nil {
			return c, fmt.Errorf("count timers: %w", err)
		}
		c.Timers, c.Overdue = c.Timers+n, c.Overdue+overdue
		c.Late = max(c.Late, since(first, now))
	}
	return c, nil
}

// since is the time from a column's value to now, or 0 where there is none or it is to come.
func since(micros sql.NullInt64, now time.Time) time.Duration {
	if !micros.Valid {
		return 0
	}
	return max(now.Sub(timeOf(micros)), 0)
}
