package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/relay"
)

// A row may have been written by anybody, so nothing is read that is much longer
// than a message may have: names up to 1,000 characters, headers up to 4 MiB
// (the longest ones allowed take less, as JSON), payloads up to tidings.MaxPayload.
const (
	readColumns = `position, ` +
		`CASE WHEN octet_length(id) <= 1000 THEN id ELSE left(id, 1000) END, ` +
		`CASE WHEN octet_length(channel) <= 1000 THEN channel ELSE left(channel, 1000) END, ` +
		`CASE WHEN octet_length(message_key) <= 1000 THEN message_key ELSE left(message_key, 1000) END, ` +
		`CASE WHEN octet_length(type) <= 1000 THEN type ELSE left(type, 1000) END, ` +
		`CASE WHEN octet_length(subject) <= 1000 THEN subject ELSE left(subject, 1000) END, ` +
		`CASE WHEN octet_length(content_type) <= 1000 THEN content_type ELSE left(content_type, 1000) END, ` +
		`CASE WHEN octet_length(headers) <= 4194304 THEN headers ELSE left(headers, 1000) END, ` +
		`CASE WHEN octet_length(payload) <= 16777216 THEN payload END, created_at`

	// The payloads before a row are summed up, without reading them, until
	// there are enough.
	aboveSQL = `SELECT ` + readColumns + ` FROM (
		SELECT o.*, sum(octet_length(payload)) OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
		FROM (SELECT * FROM tidings_outbox WHERE position > $1 ORDER BY position LIMIT $2) AS o) AS o
	WHERE COALESCE(before, 0) < $3`

	rangesSQL = `SELECT ` + readColumns + ` FROM (
		SELECT o.* FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS r (first, last, n),
		LATERAL (SELECT * FROM tidings_outbox WHERE position BETWEEN r.first AND r.last ORDER BY position LIMIT $3) AS o
		ORDER BY o.position LIMIT $3) AS o`

	// One statement has one snapshot.
	bothSQL = `(` + rangesSQL + `) UNION ALL (SELECT ` + readColumns + ` FROM (
		SELECT o.*, sum(octet_length(payload)) OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
		FROM (SELECT * FROM tidings_outbox WHERE position > $4 ORDER BY position LIMIT $5) AS o) AS o
	WHERE COALESCE(before, 0) < $6)`
)

// noBound is a number of bytes that is never reached.
const noBound = 1 << 62

// Read returns rows by position. A session that slept wakes up in the same
// round trip.
func (x *session) Read(ctx context.Context, q relay.Query) ([]relay.Row, error) {
	sweep := isSweep(q) && !x.floor.off
	var high int64
	if sweep {
		high = q.Ranges[len(q.Ranges)-1].Last
	}
	if q.Ranges = x.floor.clip(q, time.Now()); len(q.Ranges) == 0 && q.Limit == 0 {
		return nil, nil
	}
	var before []statement
	wakes := x.sleep.wakes()
	if wakes {
		before = append(before, statement{sql: unlockSQL, args: []any{x.lockKey()}})
	}
	var lockers []string
	if sweep {
		before = append(before, statement{sql: lockersSQL, args: []any{x.table}, row: func(scan func(...any) error) error {
			var tx string
			err := scan(&tx)
			lockers = append(lockers, tx)
			return err
		}})
	}
	var found []relay.Row
	err := x.query(ctx, before, readStatement(q), func(values [][]byte) {
		if found == nil {
			found = make([]relay.Row, 0, x.decode.expect)
		}
		found = append(found, x.decode.row(values))
	})
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	x.decode.expect = max(16, len(found), x.decode.expect/2)
	if wakes {
		x.sleep.woken()
	}
	x.sleep.read(q, len(found))
	if sweep && len(found) < q.RangeLimit {
		x.floor.swept(high, lockers)
	}
	// The order of a UNION ALL is that of its parts in practice, not by promise.
	if byPosition := func(a, b relay.Row) int { return cmp.Compare(a.Position, b.Position) }; !slices.IsSortedFunc(found, byPosition) {
		slices.SortFunc(found, byPosition)
	}
	return found, nil
}

func readStatement(q relay.Query) statement {
	bytes := int64(noBound)
	if q.Bytes > 0 {
		bytes = int64(q.Bytes)
	}
	if len(q.Ranges) == 0 {
		return statement{sql: aboveSQL, args: []any{q.After, q.Limit, bytes}}
	}
	first, last := make([]int64, len(q.Ranges)), make([]int64, len(q.Ranges))
	for i, r := range q.Ranges {
		first[i], last[i] = r.First, r.Last
	}
	limit := int64(noBound)
	if q.RangeLimit > 0 {
		limit = int64(q.RangeLimit)
	}
	if q.Limit == 0 {
		return statement{sql: rangesSQL, args: []any{first, last, limit}}
	}
	return statement{sql: bothSQL, args: []any{first, last, limit, q.After, q.Limit, bytes}}
}

// query runs the statements before and then s, in one round trip, and calls row
// with the columns of each of its rows as the server sent them.
func (x *session) query(ctx context.Context, before []statement, s statement, row func(values [][]byte)) error {
	if len(before) == 0 {
		rows, err := x.work.Query(ctx, s.sql, s.args...)
		if err != nil {
			return err
		}
		return each(rows, row)
	}
	batch := &pgx.Batch{}
	for _, b := range before {
		batch.Queue(b.sql, b.args...)
	}
	batch.Queue(s.sql, s.args...)
	results := x.work.SendBatch(ctx, batch)
	for i := range before {
		rows, err := results.Query()
		if err == nil {
			err = before[i].read(rows)
		}
		if err != nil {
			_ = results.Close()
			return err
		}
	}
	rows, err := results.Query()
	if err == nil {
		err = each(rows, row)
	}
	if e := results.Close(); err == nil {
		err = e
	}
	return err
}

func each(rows pgx.Rows, row func(values [][]byte)) error {
	defer rows.Close()
	for rows.Next() {
		row(rows.RawValues())
	}
	return rows.Err()
}
