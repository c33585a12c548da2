package mysql

import (
	"context"
	"database/sql"
	"math"
	"strings"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// A payload that is longer than a message may be is not read: the row is bad
// anyway, and may be of any size.
const (
	rowColumns = `o.position, o.id, o.channel, o.message_key, o.type, o.subject, o.content_type, o.headers,
	CASE WHEN LENGTH(o.payload) <= ? THEN o.payload END, LENGTH(o.payload), TIMESTAMPDIFF(MICROSECOND, '1970-01-01', o.created_at)`

	readAboveSQL = `SELECT ` + rowColumns + ` FROM tidings_outbox o WHERE o.position > ? ORDER BY o.position LIMIT ?`

	// The same, ending at the row with which the sum of payloads reaches a
	// bound: the server would send all the others for nothing.
	readBoundedSQL = `SELECT ` + rowColumns + ` FROM (
		SELECT position, SUM(n) OVER (ORDER BY position) - n AS bytes_before FROM (
			SELECT position, LENGTH(payload) AS n FROM tidings_outbox WHERE position > ? ORDER BY position LIMIT ?) sized) counted
	STRAIGHT_JOIN tidings_outbox o ON o.position = counted.position WHERE counted.bytes_before < ? ORDER BY o.position`

	readRangesSQL = `SELECT ` + rowColumns + ` FROM tidings_outbox o WHERE `

	rangeSQL = `o.position BETWEEN ? AND ?`
)

// Read returns rows by position. It is one statement, and so one snapshot.
func (s *session) Read(ctx context.Context, q relay.Query) ([]relay.Row, error) {
	s.beforeRead(q)
	query, args := s.query(q)
	if query == "" {
		return nil, nil
	}
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []relay.Row
	bytes := 0
	for rows.Next() {
		row, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
		if row.Position > q.After && q.Limit > 0 {
			if bytes += len(row.Message.Payload); q.Bytes > 0 && bytes >= q.Bytes {
				break
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	s.large = q.Bytes > 0 && bytes >= q.Bytes
	s.afterRead(found)
	return found, rows.Close()
}

func scanRow(rows *sql.Rows) (relay.Row, error) {
	var c sqlstore.Columns
	if err := rows.Scan(c.Into()...); err != nil {
		return relay.Row{}, err
	}
	return c.Row(), nil
}

// query returns the statement, or "" where nothing is asked for.
func (s *session) query(q relay.Query) (string, []any) {
	above, args := readAboveSQL, []any{tidings.MaxPayload, q.After, q.Limit}
	if s.large && q.Bytes > 0 {
		above, args = readBoundedSQL, append(args, q.Bytes)
	}
	if len(q.Ranges) == 0 {
		if q.Limit == 0 {
			return "", nil
		}
		return above, args
	}
	limit := int64(math.MaxInt64)
	if q.RangeLimit > 0 {
		limit = int64(q.RangeLimit)
	}
	ranges := []any{tidings.MaxPayload}
	for _, r := range q.Ranges {
		ranges = append(ranges, r.First, r.Last)
	}
	ranges = append(ranges, limit)
	below := readRangesSQL + repeat(rangeSQL, " OR ", len(q.Ranges)) + ` ORDER BY o.position LIMIT ?`
	if q.Limit == 0 {
		return below, ranges
	}
	return "(" + below + ") UNION ALL (" + above + ")", append(ranges, args...)
}

// repeat returns n times part, with a separator between.
func repeat(part, separator string, n int) string {
	return strings.Repeat(part+separator, n-1) + part
}
