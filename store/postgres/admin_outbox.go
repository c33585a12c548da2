package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
)

const (
	backlogSQL = `SELECT count(*), COALESCE((SELECT (extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint
		FROM tidings_outbox WHERE isfinite(created_at) ORDER BY position LIMIT 1), 0),
	(SELECT count(*) FROM tidings_outbox_aside) FROM tidings_outbox`

	// The same of rows in ranges.
	backlogOfSQL = `SELECT count(*), COALESCE((extract(epoch FROM clock_timestamp() - (array_agg(o.created_at ORDER BY o.position)
		FILTER (WHERE isfinite(o.created_at)))[1]) * 1000000)::bigint, 0), (SELECT count(*) FROM tidings_outbox_aside)
	FROM unnest($1::bigint[], $2::bigint[]) AS r (first, last) JOIN tidings_outbox o ON o.position BETWEEN r.first AND r.last`

	listAsideSQL = `SELECT ` + readColumns + `, reason, aside_at, retry_asked FROM tidings_outbox_aside ORDER BY position LIMIT $1`

	getAsideSQL = `SELECT ` + readColumns + `, reason, aside_at, retry_asked FROM tidings_outbox_aside WHERE position = $1 FOR UPDATE`

	askAsideSQL = `UPDATE tidings_outbox_aside SET retry_asked = true
	WHERE left(COALESCE(channel, ''), 1000) = $1 AND left(COALESCE(message_key, ''), 1000) = $2`

	discardAsideSQL = `DELETE FROM tidings_outbox_aside WHERE position = $1`
)

var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// Backlog describes what is not published yet. Counting takes as long as there are
// rows. Messages that were appended past the table are not counted.
func (a *Admin) Backlog(ctx context.Context) (admin.Backlog, error) {
	var b admin.Backlog
	var expires int64
	// One snapshot, so that no row is counted that is published meanwhile.
	err := pgx.BeginTxFunc(ctx, a.db.pool, snapshot, func(tx pgx.Tx) error {
		set, err := savedPublished(ctx, tx)
		var counted pgx.Row
		switch {
		case errors.Is(err, errUnpublished):
			counted = tx.QueryRow(ctx, backlogSQL)
		case err != nil:
			return err
		default:
			first, last := unpublishedRanges(set)
			counted = tx.QueryRow(ctx, backlogOfSQL, first, last)
		}
		var oldest int64
		err = counted.Scan(&b.Rows, &oldest, &b.SetAside)
		b.Oldest = max(time.Duration(oldest)*time.Microsecond, 0)
		return err
	})
	if err != nil {
		return b, fmt.Errorf("read the backlog: %w", a.db.advise(ctx, err))
	}
	err = a.db.pool.QueryRow(ctx, leaseSQL).Scan(&b.Source, &b.Holder, &b.Fence, &b.Epoch, &expires)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return b, fmt.Errorf("read the lease: %w", a.db.advise(ctx, err))
	}
	if b.Expires = time.Duration(expires) * time.Microsecond; b.Holder == "" || b.Expires <= 0 {
		b.Holder, b.Expires = "", 0
	}
	return b, nil
}

// ListSetAside returns set-aside rows by position; limit defaults to 100.
func (a *Admin) ListSetAside(ctx context.Context, limit int) ([]admin.SetAsideRow, error) {
	if limit <= 0 {
		limit = 100
	}
	all, err := asideRows(ctx, a.db.pool, listAsideSQL, limit)
	if err != nil {
		return nil, fmt.Errorf("list set-aside rows: %w", a.db.advise(ctx, err))
	}
	return all, nil
}

func asideRows(ctx context.Context, q pgxQuerier, sql string, arg any) ([]admin.SetAsideRow, error) {
	rows, err := q.Query(ctx, sql, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var d decoder
	var all []admin.SetAsideRow
	for rows.Next() {
		var r admin.SetAsideRow
		var skip [columns]any
		if err := rows.Scan(append(skip[:], &r.Reason, &r.AsideAt, &r.RetryAsked)...); err != nil {
			return nil, err
		}
		// What does not decode is why the row is here, and stands in its reason.
		row := d.row(rows.RawValues()[:columns])
		r.Position, r.Message, r.AsideAt = row.Position, row.Message, r.AsideAt.UTC()
		all = append(all, r)
	}
	return all, rows.Err()
}

// RetrySetAside marks the rows of a key; the relay takes them up when it renews
// its lease.
func (a *Admin) RetrySetAside(ctx context.Context, channel, key string, act admin.Action) error {
	return a.change(ctx, "retry set-aside rows", act, func(r runner) (string, string, error) {
		var n int64
		err := r.run(ctx, statement{sql: askAsideSQL, args: []any{channel, key}, affected: &n})
		if err == nil && n == 0 {
			err = fmt.Errorf("channel %q, key %q: %w", channel, key, admin.ErrNotFound)
		}
		return fmt.Sprintf("outbox channel %q key %q", channel, key), fmt.Sprintf(`{"rows":%d}`, n), err
	})
}

// DiscardSetAside removes one row; what waits behind it is tried again.
func (a *Admin) DiscardSetAside(ctx context.Context, position int64, act admin.Action) error {
	return a.change(ctx, "discard set-aside row", act, func(r runner) (string, string, error) {
		found, err := asideRows(ctx, r.(pgxRunner).q, getAsideSQL, position)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("position %d: %w", position, admin.ErrNotFound)
		}
		if err != nil {
			return "", "", err
		}
		row := &found[0]
		detail, err := sqlstore.AsideDetail(row)
		if err != nil {
			return "", "", err
		}
		all := []statement{{sql: discardAsideSQL, args: []any{position}}}
		if row.Message.Key != "" {
			all = append(all, statement{sql: askAsideSQL, args: []any{row.Message.Channel, row.Message.Key}})
		}
		return fmt.Sprintf("outbox position %d", position), detail, r.run(ctx, all...)
	})
}
