package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example/admin"
)

// ListLocks returns locks, oldest first.
func (o *Operator) ListLocks(ctx context.Context, f admin.LockFilter) ([]admin.Lock, error) {
	query, args := `SELECT participant, target, saga_type, saga_id, micros(since), (SELECT COUNT(*) FROM tidings_command_aside a
		WHERE a.participant = l.participant AND a.target = l.target) FROM tidings_command_lock l WHERE saga_type <> ''`, []any(nil)
	for _, c := range []struct{ column, value string }{
		{"participant", f.Participant}, {"target", f.Target}, {"saga_type", f.SagaType}, {"saga_id", f.SagaID},
	} {
		if c.value != "" {
			query += " AND " + c.column + " = ?"
			args = append(args, c.value)
		}
	}
	if f.Older > 0 {
		query += " AND since <= @at"
		args = append(args, o.db.Time(o.db.Now().Add(-f.Older)))
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	query += " ORDER BY since, participant, target LIMIT ?"
	locks, err := Collect(ctx, o.db.Pool, o.db.text(query), append(args, f.Limit), func(rows *sql.Rows) (l admin.Lock, err error) {
		var since sql.NullInt64
		err = rows.Scan(&l.Participant, &l.Target, &l.SagaType, &l.SagaID, &since, &l.Waiting)
		l.Since = timeOf(since)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", err)
	}
	return locks, nil
}

// BreakLock removes a lock. The participant finds that commands wait though
// nobody has it.
func (o *Operator) BreakLock(ctx context.Context, participant, target string, a admin.Action) error {
	return o.change(ctx, "break lock", a, func(tx *sql.Tx) (name, detail string, err error) {
		name = fmt.Sprintf("lock of %s on %q", participant, target)
		var was struct {
			SagaType string    `json:"sagaType"`
			SagaID   string    `json:"sagaId"`
			Since    time.Time `json:"since"`
		}
		var since sql.NullInt64
		err = tx.QueryRowContext(ctx, o.db.text(`SELECT saga_type, saga_id, micros(since) FROM tidings_command_lock
	WHERE participant = ? AND target = ? AND saga_type <> '' @lock`), participant, target).Scan(&was.SagaType, &was.SagaID, &since)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			err = admin.ErrNotFound
		case err == nil:
			_, err = tx.ExecContext(ctx, o.db.FreeLock+` WHERE participant = ? AND target = ?`, participant, target)
		}
		if err != nil {
			return name, "", fmt.Errorf("%s: %w", name, err)
		}
		was.Since = timeOf(since)
		detail, err = marshal(was)
		return name, detail, err
	})
}
