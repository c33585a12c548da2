package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	asideAtSQL = `SELECT ` + readColumns + ` FROM tidings_outbox_aside WHERE position = ANY ($1::bigint[]) ORDER BY set_aside, position`

	// Keys are compared as far as they are read; see readColumns.
	asideOfSQL = `SELECT ` + readColumns + ` FROM tidings_outbox_aside
	WHERE left(COALESCE(channel, ''), 1000) = $1 AND left(COALESCE(message_key, ''), 1000) = $2 ORDER BY set_aside, position LIMIT $3`

	// A row that was never in the table takes the table's next position, which
	// no other row ever has. So does one whose position another message has, which
	// somebody chose twice. The same message is set aside once.
	storeAsideSQL = `INSERT INTO tidings_outbox_aside (position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, reason)
	SELECT CASE WHEN a.position = 0 OR EXISTS (SELECT 1 FROM tidings_outbox_aside s WHERE s.position = a.position AND s.id IS DISTINCT FROM a.id)
		THEN nextval('tidings_outbox_positions') ELSE a.position END,
		a.id, a.channel, a.message_key, a.type, a.subject, a.content_type, a.headers, a.payload, a.created_at, a.reason
	FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::timestamptz[], $13::text[])
		WITH ORDINALITY AS a (position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, reason, n)
	WHERE ` + fenced + ` ORDER BY a.n ON CONFLICT (position) DO NOTHING`

	doneAsideSQL = `DELETE FROM tidings_outbox_aside WHERE ` + fenced + ` AND position = ANY ($3::bigint[])`

	keepAsideSQL = `UPDATE tidings_outbox_aside s SET reason = a.reason FROM unnest($3::bigint[], $4::text[]) AS a (position, reason)
	WHERE ` + fenced + ` AND s.position = a.position`

	endRetrySQL = `UPDATE tidings_outbox_aside s SET retry_asked = false FROM unnest($3::text[], $4::text[]) AS k (channel, message_key)
	WHERE ` + fenced + ` AND s.retry_asked AND left(COALESCE(s.channel, ''), 1000) = k.channel AND left(COALESCE(s.message_key, ''), 1000) = k.message_key`
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

// setAside divides rows into those that are moved from the table and those that
// come from the log and are stored.
func setAside(all []relay.SetAside) (moved []relay.SetAside, stored *storedRows, err error) {
	for i := range all {
		a := &all[i]
		if a.Row == nil {
			moved = append(moved, *a)
			continue
		}
		if stored == nil {
			stored = &storedRows{}
		}
		if err := stored.add(a); err != nil {
			return nil, nil, fmt.Errorf("set aside the row at position %d: %w", a.Position, err)
		}
	}
	return moved, stored, nil
}

// storedRows are columns of rows to store; a nil is NULL.
type storedRows struct {
	positions []int64
	texts     [7][][]byte // id to headers
	payloads  [][]byte
	times     []pgtype.Timestamptz
	reasons   []string
}

func (s *storedRows) add(a *relay.SetAside) error {
	columns, err := columnsOf(a.Row)
	if err != nil {
		return err
	}
	s.positions = append(s.positions, a.Position)
	for i := range s.texts {
		s.texts[i] = append(s.texts[i], columns[columnID+i])
	}
	s.payloads = append(s.payloads, columns[columnPayload])
	s.times = append(s.times, timeOf(columns[columnCreatedAt]))
	s.reasons = append(s.reasons, sqlstore.Reason(a.Reason))
	return nil
}

func (s *storedRows) args() []any {
	all := []any{s.positions}
	for _, texts := range s.texts {
		all = append(all, nullTexts(texts))
	}
	return append(all, s.payloads, s.times, s.reasons)
}

func nullTexts(texts [][]byte) []*string {
	all := make([]*string, len(texts))
	for i, b := range texts {
		if b != nil {
			text := string(b)
			all[i] = &text
		}
	}
	return all
}

// columnsOf returns a row's columns as decoder.row takes them: those that came
// from the log where it does not decode, so that nothing is lost of it.
func columnsOf(r *relay.Row) ([][]byte, error) {
	if raw, ok := r.Raw.([][]byte); ok && len(raw) == columns {
		return raw, nil
	}
	m := &r.Message
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	if err != nil {
		return nil, err
	}
	v := make([][]byte, columns)
	v[columnID], v[columnChannel], v[columnType], v[columnContentType] = []byte(m.ID), []byte(m.Channel), []byte(m.Type), []byte(m.ContentType)
	v[columnKey], v[columnSubject] = textOrNull(m.Key), textOrNull(m.Subject)
	if text, ok := headers.(string); ok {
		v[columnHeaders] = []byte(text)
	}
	v[columnPayload] = notNil(m.Payload)
	if !m.Time.IsZero() {
		v[columnCreatedAt] = binary.BigEndian.AppendUint64(nil, uint64(m.Time.UnixMicro()-microsToYear2000))
	}
	return v, nil
}

func textOrNull(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// timeOf reads a time, which may be infinite.
func timeOf(b []byte) pgtype.Timestamptz {
	if len(b) != 8 {
		return pgtype.Timestamptz{}
	}
	switch micros := int64(binary.BigEndian.Uint64(b)); {
	case micros == math.MaxInt64:
		return pgtype.Timestamptz{Valid: true, InfinityModifier: pgtype.Infinity}
	case micros == math.MinInt64:
		return pgtype.Timestamptz{Valid: true, InfinityModifier: pgtype.NegativeInfinity}
	default:
		return pgtype.Timestamptz{Valid: true, Time: time.Unix(microsToYear2000/1_000_000, 0).Add(time.Duration(micros) * time.Microsecond)}
	}
}
