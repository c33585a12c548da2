package mysql

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	selectAsideSQL = `SELECT ` + rowColumns + `, o.set_aside FROM tidings_outbox_aside o`

	asideOfSQL = selectAsideSQL + ofKeySQL + ` ORDER BY o.set_aside LIMIT ?`

	asideAtSQL = selectAsideSQL + ` WHERE o.position IN (`

	// asideListed bounds the positions in one statement.
	asideListed = 1000
)

// ReadAside returns set-aside rows in the order in which they were set aside:
// those at the query's positions, or the first of its key.
func (db *DB) ReadAside(ctx context.Context, q relay.AsideQuery) ([]relay.Row, error) {
	var found []asideRow
	var err error
	if len(q.Positions) == 0 {
		limit := int64(math.MaxInt64)
		if q.Limit > 0 {
			limit = int64(q.Limit)
		}
		found, err = db.asideRows(ctx, nil, asideOfSQL, tidings.MaxPayload, q.Key.Channel, q.Key.Key, limit)
	}
	for some := range slices.Chunk(q.Positions, asideListed) {
		args := []any{tidings.MaxPayload}
		for _, p := range some {
			args = append(args, p)
		}
		if found, err = db.asideRows(ctx, found, asideAtSQL+repeat("?", ", ", len(some))+")", args...); err != nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read set-aside rows: %w", db.advise(ctx, err))
	}
	slices.SortFunc(found, func(a, b asideRow) int { return cmp.Compare(a.order, b.order) })
	rows := make([]relay.Row, len(found))
	for i := range found {
		rows[i] = found[i].columns.Row()
	}
	return rows, nil
}

// An asideRow is a set-aside row with its place in the order of setting aside.
type asideRow struct {
	columns sqlstore.Columns
	order   int64
}

func (db *DB) asideRows(ctx context.Context, found []asideRow, query string, args ...any) ([]asideRow, error) {
	rows, err := db.inbox.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		var r asideRow
		err := rows.Scan(append(r.columns.Into(), &r.order)...)
		found = append(found, r)
		return err
	})
	return found, err
}
