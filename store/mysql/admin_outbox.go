package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
)

const (
	backlogSQL = `SELECT COUNT(*), COALESCE(TIMESTAMPDIFF(MICROSECOND,
		(SELECT created_at FROM tidings_outbox ORDER BY position LIMIT 1), UTC_TIMESTAMP(6)), 0),
	(SELECT COUNT(*) FROM tidings_outbox_aside) FROM tidings_outbox`

	asideColumns = rowColumns + `, o.reason, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', o.aside_at), o.retry_asked`

	listAsideSQL = `SELECT ` + asideColumns + ` FROM tidings_outbox_aside o ORDER BY o.position LIMIT ?`

	getAsideSQL = `SELECT ` + asideColumns + ` FROM tidings_outbox_aside o WHERE o.position = ? FOR UPDATE`

	// The server does not count rows as updated whose retry is asked for already.
	countAsideSQL = `SELECT COUNT(*) FROM tidings_outbox_aside` + ofKeySQL

	askAsideSQL = `UPDATE tidings_outbox_aside SET retry_asked = 1` + ofKeySQL

	discardAsideSQL = `DELETE FROM tidings_outbox_aside WHERE position = ?`
)

// Backlog describes what is not published yet.
func (a *Admin) Backlog(ctx context.Context) (admin.Backlog, error) {
	var b admin.Backlog
	var oldest int64
	err := a.db.inbox.QueryRowContext(ctx, backlogSQL).Scan(&b.Rows, &oldest, &b.SetAside)
	if err != nil {
		return b, fmt.Errorf("read the backlog: %w", err)
	}
	b.Oldest = max(time.Duration(oldest)*time.Microsecond, 0)
	var left int64
	var lanes int
	var identity string
	err = a.db.inbox.QueryRowContext(ctx, leaseSQL).Scan(&b.Source, &b.Holder, &b.Fence, &left, &b.Epoch, &lanes, &identity)
	if errors.Is(err, sql.ErrNoRows) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("read the lease: %w", err)
	}
	if b.Expires = time.Duration(left) * time.Microsecond; b.Expires <= 0 {
		b.Holder, b.Expires = "", 0
	}
	return b, nil
}

// ListSetAside returns set-aside rows by position; limit defaults to 100.
func (a *Admin) ListSetAside(ctx context.Context, limit int) ([]admin.SetAsideRow, error) {
	if limit <= 0 {
		limit = 100
	}
	rows, err := a.db.inbox.QueryContext(ctx, listAsideSQL, tidings.MaxPayload, limit)
	if err != nil {
		return nil, fmt.Errorf("list set-aside rows: %w", err)
	}
	defer rows.Close()
	var all []admin.SetAsideRow
	for rows.Next() {
		r, err := scanAside(rows)
		if err != nil {
			return nil, fmt.Errorf("list set-aside rows: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func scanAside(row scanner) (admin.SetAsideRow, error) {
	var c sqlstore.Columns
	var r admin.SetAsideRow
	var at int64
	err := row.Scan(&c.Position, &c.ID, &c.Channel, &c.Key, &c.Type, &c.Subject, &c.ContentType, &c.Headers,
		&c.Payload, &c.PayloadBytes, &c.CreatedAt, &r.Reason, &at, &r.RetryAsked)
	if err != nil {
		return r, err
	}
	// What does not decode is why the row is here, and stands in its reason.
	r.Position, r.Message, r.AsideAt = c.Position, c.Row().Message, time.UnixMicro(at).UTC()
	return r, nil
}

// RetrySetAside marks the rows of a key; the relay takes them up when it renews its lease.
func (a *Admin) RetrySetAside(ctx context.Context, channel, key string, act admin.Action) error {
	return a.change(ctx, "retry set-aside rows", act, func(tx *sql.Tx) (string, string, error) {
		var n int64
		err := tx.QueryRowContext(ctx, countAsideSQL, channel, key).Scan(&n)
		if err == nil {
			_, err = tx.ExecContext(ctx, askAsideSQL, channel, key)
		}
		if err == nil && n == 0 {
			err = fmt.Errorf("channel %q, key %q: %w", channel, key, admin.ErrNotFound)
		}
		return fmt.Sprintf("outbox channel %q key %q", channel, key), fmt.Sprintf(`{"rows":%d}`, n), err
	})
}

// DiscardSetAside removes one row; what waits behind it is tried again.
func (a *Admin) DiscardSetAside(ctx context.Context, position int64, act admin.Action) error {
	return a.change(ctx, "discard set-aside row", act, func(tx *sql.Tx) (string, string, error) {
		r, err := scanAside(tx.QueryRowContext(ctx, getAsideSQL, tidings.MaxPayload, position))
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("position %d: %w", position, admin.ErrNotFound)
		}
		if err != nil {
			return "", "", err
		}
		detail, err := sqlstore.AsideDetail(&r)
		if err != nil {
			return "", "", err
		}
		w := &writing{ctx: ctx, tx: tx}
		if r.Message.Key != "" { // those behind it may go on
			w.exec(askAsideSQL, r.Message.Channel, r.Message.Key)
		}
		w.exec(discardAsideSQL, position)
		return fmt.Sprintf("outbox position %d", position), detail, w.err
	})
}
