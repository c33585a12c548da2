package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// A payload that is longer than a message may be is not read: the row is bad
// anyway, and may be of any size.
const rowColumns = `o.position, o.id, o.channel, o.message_key, o.type, o.subject, o.content_type, o.headers,
	CASE WHEN octet_length(o.payload) <= ? THEN o.payload END, octet_length(o.payload), o.created_at`

const (
	readAboveSQL = mark + `SELECT ` + rowColumns + ` FROM tidings_outbox o WHERE o.position > ? ORDER BY o.position LIMIT ?`

	// The ranges come as a JSON array of pairs, in order: the nested loop gives
	// their rows by position without sorting. One statement is one snapshot.
	readBothSQL = mark + `SELECT * FROM (
		SELECT ` + rowColumns + ` FROM json_each(?) r CROSS JOIN tidings_outbox o
		WHERE o.position BETWEEN r.value ->> 0 AND r.value ->> 1 LIMIT ?)
	UNION ALL SELECT * FROM (
		SELECT ` + rowColumns + ` FROM tidings_outbox o WHERE o.position > ? ORDER BY o.position LIMIT ?)`
)

// Read returns rows by position.
func (s *session) Read(ctx context.Context, q relay.Query) ([]relay.Row, error) {
	s.beforeRead(q)
	rows, err := s.query(ctx, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []relay.Row
	bytes := 0
	for rows.Next() {
		var c sqlstore.Columns
		err := rows.Scan(&c.Position, &c.ID, &c.Channel, &c.Key, &c.Type, &c.Subject, &c.ContentType, &c.Headers,
			&c.Payload, &c.PayloadBytes, &c.CreatedAt)
		if err != nil {
			return nil, err
		}
		row := c.Row()
		found = append(found, row)
		if row.Position > q.After {
			bytes += len(row.Message.Payload)
			if q.Limit > 0 && q.Bytes > 0 && bytes >= q.Bytes {
				break
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	s.afterRead(found)
	return found, rows.Close()
}

func (s *session) query(ctx context.Context, q relay.Query) (*sql.Rows, error) {
	if len(q.Ranges) == 0 {
		return s.reader.QueryContext(ctx, readAboveSQL, tidings.MaxPayload, q.After, q.Limit)
	}
	pairs := make([][2]int64, len(q.Ranges))
	for i, r := range q.Ranges {
		pairs[i] = [2]int64{r.First, r.Last}
	}
	list, err := json.Marshal(pairs)
	if err != nil {
		return nil, fmt.Errorf("encode ranges: %w", err)
	}
	limit := -1 // no bound
	if q.RangeLimit > 0 {
		limit = q.RangeLimit
	}
	return s.reader.QueryContext(ctx, readBothSQL, tidings.MaxPayload, string(list), limit, tidings.MaxPayload, q.After, q.Limit)
}
