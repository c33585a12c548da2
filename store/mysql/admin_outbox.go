package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	backlogSQL = `SELECT (SELECT COUNT(*) FROM tidings_outbox_aside), (SELECT COALESCE(published, '') FROM tidings_relay_log WHERE reading = 'log')`

	countSQL = `SELECT COUNT(*), COALESCE(MIN(position), 0) FROM tidings_outbox WHERE `

	ageSQL = `SELECT COALESCE(TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)), 0) FROM tidings_outbox WHERE position = ?`

	asideColumns = rowColumns + `, o.reason, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', o.aside_at), o.retry_asked`

	listAsideSQL = `SELECT ` + asideColumns + ` FROM tidings_outbox_aside o ORDER BY o.position LIMIT ?`

	getAsideSQL = `SELECT ` + asideColumns + ` FROM tidings_outbox_aside o WHERE o.position = ? FOR UPDATE`

	// The server does not count rows as updated whose retry is asked for already.
	countAsideSQL = `SELECT COUNT(*) FROM tidings_outbox_aside` + ofKeySQL

	askAsideSQL = `UPDATE tidings_outbox_aside SET retry_asked = 1` + ofKeySQL

	discardAsideSQL = `DELETE FROM tidings_outbox_aside WHERE position = ?`
)

// Backlog describes what is not published yet. Counting takes as long as there are
// rows. Messages that were appended past the table are not counted.
func (a *Admin) Backlog(ctx context.Context) (admin.Backlog, error) {
	var b admin.Backlog
	// One snapshot, so that no row is counted that is published meanwhile.
	err := a.inSnapshot(ctx, func(tx *sql.Tx) error {
		var encoded []byte
		if err := tx.QueryRowContext(ctx, backlogSQL).Scan(&b.SetAside, &encoded); err != nil {
			return err
		}
		set, err := relay.DecodePositionSet(encoded)
		if err != nil {
			return err
		}
		var lowest, age int64
		if b.Rows, lowest, err = countRows(ctx, tx, unpublished(&set)); err != nil || b.Rows == 0 {
			return err
		}
		err = tx.QueryRowContext(ctx, ageSQL, lowest).Scan(&age)
		b.Oldest = max(time.Duration(age)*time.Microsecond, 0)
		return err
	})
	if err != nil {
		return b, fmt.Errorf("read the backlog: %w", err)
	}
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

// unpublished are the positions that a set does not hold; all if it is empty.
func unpublished(set *relay.PositionSet) []relay.Range {
	if set.High == 0 && len(set.Gaps) == 0 {
		return []relay.Range{{First: math.MinInt64, Last: math.MaxInt64}}
	}
	return append(slices.Clone(set.Gaps), relay.Range{First: set.High + 1, Last: math.MaxInt64})
}

// countedRanges bounds the ranges that one statement counts rows of.
const countedRanges = 1000

// countRows counts rows of the outbox, and returns the lowest position.
func countRows(ctx context.Context, tx *sql.Tx, ranges []relay.Range) (n, lowest int64, err error) {
	for some := range slices.Chunk(ranges, countedRanges) {
		var args []any
		for _, r := range some {
			args = append(args, r.First, r.Last)
		}
		var count, first int64
		err := tx.QueryRowContext(ctx, countSQL+repeat("position BETWEEN ? AND ?", " OR ", len(some)), args...).Scan(&count, &first)
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			lowest = first
		}
		n += count
	}
	return n, lowest, nil
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
	if err := row.Scan(append(c.Into(), &r.Reason, &at, &r.RetryAsked)...); err != nil {
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
