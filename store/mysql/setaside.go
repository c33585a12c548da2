package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	storeAsideSQL = `INSERT INTO tidings_outbox_aside
	(position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, reason, aside_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE reason = VALUES(reason)`

	asideIDsSQL = `SELECT position, COALESCE(id, '') FROM tidings_outbox_aside WHERE position IN (`

	// Only its position is used: the transaction is rolled back.
	takePositionSQL = `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('', '', '')`

	doneAsideSQL = `DELETE FROM tidings_outbox_aside WHERE position IN (`

	keepAsideSQL = `UPDATE tidings_outbox_aside SET reason = ? WHERE position = ?`

	endRetrySQL = `UPDATE tidings_outbox_aside SET retry_asked = 0` + ofKeySQL
)

// asideSteps set rows aside, those of the log as they are.
func (s *session) asideSteps(ctx context.Context, all []relay.SetAside) ([]step, error) {
	var steps []step
	var stored []relay.SetAside
	for _, a := range all {
		if a.Row != nil {
			stored = append(stored, a)
			continue
		}
		steps = append(steps, step{setAsideSQL, []any{sqlstore.Reason(a.Reason), a.Position}}, step{removeOneSQL, []any{a.Position}})
	}
	if len(stored) == 0 {
		return steps, nil
	}
	positions, err := s.db.asidePositions(ctx, stored)
	if err != nil {
		return nil, fmt.Errorf("find positions for set-aside rows: %w", err)
	}
	for i, a := range stored {
		columns, err := asideColumnsOf(a.Row)
		if err != nil {
			return nil, fmt.Errorf("set aside the row at position %d: %w", a.Position, err)
		}
		args := append(append([]any{positions[i]}, columns...), sqlstore.Reason(a.Reason))
		steps = append(steps, step{storeAsideSQL, args})
	}
	return steps, nil
}

// asidePositions returns where the rows are kept: at their own positions. A row
// that was never in the table takes the table's next position, which no other
// row ever has; so does one whose position another message has, which somebody
// chose twice.
func (db *DB) asidePositions(ctx context.Context, all []relay.SetAside) ([]int64, error) {
	taken, err := db.asideIDs(ctx, all)
	if err != nil {
		return nil, err
	}
	positions := make([]int64, len(all))
	var without []int
	for i, a := range all {
		id, exists := taken[a.Position]
		if a.Position == 0 || exists && id != a.Row.Message.ID {
			without = append(without, i)
			continue
		}
		positions[i], taken[a.Position] = a.Position, a.Row.Message.ID
	}
	if len(without) == 0 {
		return positions, nil
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // positions that were handed out never come back
	for _, i := range without {
		result, err := tx.ExecContext(ctx, takePositionSQL)
		if err != nil {
			return nil, err
		}
		if positions[i], err = result.LastInsertId(); err != nil {
			return nil, err
		}
	}
	return positions, nil
}

// asideIDs returns the ids of the rows that are aside at positions of these.
func (db *DB) asideIDs(ctx context.Context, all []relay.SetAside) (map[int64]string, error) {
	taken := map[int64]string{}
	for some := range slices.Chunk(all, asideListed) {
		var args []any
		for _, a := range some {
			args = append(args, a.Position)
		}
		rows, err := db.inbox.QueryContext(ctx, asideIDsSQL+repeat("?", ", ", len(some))+")", args...)
		if err != nil {
			return nil, err
		}
		err = each(rows, func() error {
			var position int64
			var id string
			err := rows.Scan(&position, &id)
			taken[position] = id
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// asideColumnsOf returns the columns of a row from id to created_at: those that
// came from the log where it does not decode, so that nothing is lost of it.
func asideColumnsOf(r *relay.Row) ([]any, error) {
	if c, ok := r.Raw.(*sqlstore.Columns); ok {
		columns := []any{c.ID, c.Channel, c.Key, c.Type, c.Subject, c.ContentType, c.Headers}
		for i, v := range columns {
			columns[i] = validText(v)
		}
		return append(columns, c.Payload, micros(c.CreatedAt)), nil
	}
	m := &r.Message
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	return []any{m.ID, m.Channel, sqlstore.OrNull(m.Key), m.Type, sqlstore.OrNull(m.Subject), m.ContentType, headers,
		notNil(m.Payload), datetime(m.Time)}, err
}

// validText is what a text column takes.
func validText(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ToValidUTF8(v, "\uFFFD")
	case []byte:
		return strings.ToValidUTF8(string(v), "\uFFFD")
	}
	return nil
}

// micros is a time that Columns hold; what is no date is NULL.
func micros(v any) any {
	n, ok := v.(int64)
	at := time.UnixMicro(n).UTC()
	if !ok || at.Year() < 1 || at.Year() > 9999 {
		return nil
	}
	return datetime(at)
}

func doneAsideSteps(positions []int64) []step {
	var steps []step
	for some := range slices.Chunk(positions, asideListed) {
		var args []any
		for _, p := range some {
			args = append(args, p)
		}
		steps = append(steps, step{doneAsideSQL + repeat("?", ", ", len(some)) + ")", args})
	}
	return steps
}

func keepAsideSteps(all []relay.SetAside) []step {
	var steps []step
	ended := map[relay.HeldKey]bool{}
	for _, a := range all {
		steps = append(steps, step{keepAsideSQL, []any{sqlstore.Reason(a.Reason), a.Position}})
		if key := (relay.HeldKey{Channel: a.Key.Channel, Key: a.Key.Key}); !ended[key] {
			ended[key] = true
			steps = append(steps, step{endRetrySQL, []any{key.Channel, key.Key}})
		}
	}
	return steps
}
