package postgres

import (
	"context"
	"fmt"

	"tidings.example/relay"
)

const (
	asideAtSQL = `SELECT ` + readColumns + ` FROM tidings_outbox_aside WHERE position = ANY ($1::bigint[]) ORDER BY set_aside, position`

	// Keys are compared as far as they are read; see readColumns.
	asideOfSQL = `SELECT ` + readColumns + ` FROM tidings_outbox_aside
	WHERE left(COALESCE(channel, ''), 1000) = $1 AND left(COALESCE(message_key, ''), 1000) = $2 ORDER BY set_aside, position LIMIT $3`
)

// ReadAside returns set-aside rows in the order in which they were set aside:
// those at the query's positions, or the first of its key.
func (db *DB) ReadAside(ctx context.Context, q relay.AsideQuery) ([]relay.Row, error) {
	s := statement{sql: asideAtSQL, args: []any{q.Positions}}
	if len(q.Positions) == 0 {
		limit := int64(noBound)
		if q.Limit > 0 {
			limit = int64(q.Limit)
		}
		s = statement{sql: asideOfSQL, args: []any{q.Key.Channel, q.Key.Key, limit}}
	}
	rows, err := db.pool.Query(ctx, s.sql, s.args...)
	var d decoder
	var found []relay.Row
	if err == nil {
		err = each(rows, func(values [][]byte) { found = append(found, d.row(values)) })
	}
	if err != nil {
		return nil, fmt.Errorf("read set-aside rows: %w", db.advise(ctx, err))
	}
	return found, nil
}
