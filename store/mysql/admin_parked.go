package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example/admin"
	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

const (
	// How many of the key come before, and whether a retry is asked for.
	parkedState = `, (SELECT COUNT(*) FROM tidings_inbox_parked b WHERE b.subscriber = p.subscriber AND b.source = p.source
		AND b.channel = p.channel AND b.held_key = p.held_key AND b.id < p.id),
	COALESCE((SELECT h.retry_asked FROM tidings_inbox_held h WHERE h.subscriber = p.subscriber AND h.source = p.source
		AND h.channel = p.channel AND h.message_key = p.held_key), 0)`

	// The payload is left out. An empty filter value selects everything.
	listParkedSQL = `SELECT p.id, p.subscriber, p.source, p.channel, p.message_id, p.message_key, p.type, p.subject,
	p.content_type, p.headers, NULL, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', p.created_at), p.epoch, p.lane, p.sequence,
	p.reason, p.attempts, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', p.parked_at)` + parkedState + `
	FROM tidings_inbox_parked p
	WHERE p.id > ? AND (? = '' OR p.subscriber = ?) AND (? = '' OR p.channel = ?) AND (? = '' OR p.held_key = ?)
		AND (? = 0 OR NOT EXISTS (SELECT 1 FROM tidings_inbox_parked b WHERE b.subscriber = p.subscriber
			AND b.source = p.source AND b.channel = p.channel AND b.held_key = p.held_key AND b.id < p.id))
	ORDER BY p.id LIMIT ?`

	getParkedSQL = `SELECT ` + parkedColumns + parkedState + ` FROM tidings_inbox_parked p WHERE p.id = ?`

	askRetrySQL = `UPDATE tidings_inbox_held SET retry_asked = 1
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ?`

	editParkedSQL = `UPDATE tidings_inbox_parked SET payload = ? WHERE id = ?`

	discardParkedSQL = `DELETE FROM tidings_inbox_parked WHERE id = ?`
)

// ListParked returns parked messages without payloads.
func (a *Admin) ListParked(ctx context.Context, f admin.ParkedFilter) ([]admin.ParkedMessage, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	rows, err := a.db.inbox.QueryContext(ctx, listParkedSQL, f.After, f.Subscriber, f.Subscriber, f.Channel, f.Channel,
		f.Key, f.Key, f.Heads, limit)
	if err != nil {
		return nil, fmt.Errorf("list parked messages: %w", err)
	}
	defer rows.Close()
	var all []admin.ParkedMessage
	for rows.Next() {
		p, err := scanParkedState(rows)
		if err != nil {
			return nil, fmt.Errorf("list parked messages: %w", err)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// GetParked returns one parked message, whole.
func (a *Admin) GetParked(ctx context.Context, id int64) (admin.ParkedMessage, error) {
	p, err := getParked(ctx, a.db.inbox, id)
	if err != nil {
		return admin.ParkedMessage{}, fmt.Errorf("get parked message %d: %w", id, err)
	}
	return p, nil
}

func getParked(ctx context.Context, q rowQueryer, id int64) (admin.ParkedMessage, error) {
	p, err := scanParkedState(q.QueryRowContext(ctx, getParkedSQL, id))
	if errors.Is(err, sql.ErrNoRows) {
		return p, admin.ErrNotFound
	}
	return p, err
}

// lockParked returns a parked message after it has locked its key, so that an
// inbox that is working it off has finished.
func lockParked(ctx context.Context, tx *sql.Tx, id int64) (admin.ParkedMessage, inbox.HeldKey, error) {
	p, err := getParked(ctx, tx, id)
	if err != nil {
		return p, inbox.HeldKey{}, err
	}
	key := inbox.HeldKey{Source: p.Message.Source, Channel: p.Message.Channel, Key: p.Message.OrderingKey()}
	if _, err := lockKey(ctx, tx, p.Subscriber, key); err != nil {
		return p, key, err
	}
	p, err = getParked(ctx, tx, id)
	return p, key, err
}

// RetryParked marks the message's key for the subscriber's inbox to work off.
func (a *Admin) RetryParked(ctx context.Context, id int64, act admin.Action) error {
	return a.change(ctx, "retry parked message", act, func(tx *sql.Tx) (string, string, error) {
		p, key, err := lockParked(ctx, tx, id)
		if err != nil {
			return "", "", err
		}
		_, err = tx.ExecContext(ctx, askRetrySQL, p.Subscriber, key.Source, key.Channel, key.Key)
		return sqlstore.ParkedTarget(&p), "", err
	})
}

// EditParked replaces the payload.
func (a *Admin) EditParked(ctx context.Context, id int64, payload []byte, act admin.Action) error {
	return a.change(ctx, "edit parked message", act, func(tx *sql.Tx) (string, string, error) {
		p, _, err := lockParked(ctx, tx, id)
		if err != nil {
			return "", "", err
		}
		detail, err := sqlstore.EditDetail(p.Message.Payload)
		if err != nil {
			return "", "", err
		}
		_, err = tx.ExecContext(ctx, editParkedSQL, notNil(payload), id)
		return sqlstore.ParkedTarget(&p), detail, err
	})
}

// DiscardParked removes a message, and asks for a retry of those behind it.
func (a *Admin) DiscardParked(ctx context.Context, id int64, act admin.Action) error {
	return a.change(ctx, "discard parked message", act, func(tx *sql.Tx) (string, string, error) {
		p, key, err := lockParked(ctx, tx, id)
		if err != nil {
			return "", "", err
		}
		detail, err := sqlstore.ParkedDetail(&p)
		if err != nil {
			return "", "", err
		}
		w := &writing{ctx: ctx, tx: tx}
		// With nothing left behind it, the retry releases the key.
		w.exec(askRetrySQL, p.Subscriber, key.Source, key.Channel, key.Key)
		w.exec(discardParkedSQL, id)
		return sqlstore.ParkedTarget(&p), detail, w.err
	})
}

// scanner is one row.
type scanner interface{ Scan(dest ...any) error }

func scanParkedState(row scanner) (admin.ParkedMessage, error) {
	var behind int
	var asked bool
	p, err := scanParked(row, &behind, &asked)
	p.Behind, p.RetryAsked = behind, asked
	return p, err
}

// scanParked reads parkedColumns, and what follows them into more.
func scanParked(row scanner, more ...any) (admin.ParkedMessage, error) {
	var p admin.ParkedMessage
	var headers sql.NullString
	var created sql.NullInt64
	var parkedAt int64
	m := &p.Message
	err := row.Scan(append([]any{&p.ID, &p.Subscriber, &m.Source, &m.Channel, &m.ID, &m.Key, &m.Type, &m.Subject,
		&m.ContentType, &headers, &m.Payload, &created, &m.Stamp.Epoch, &m.Stamp.Lane, &m.Stamp.Sequence,
		&p.Reason, &p.Attempts, &parkedAt}, more...)...)
	if err != nil {
		return p, err
	}
	if created.Valid {
		m.Time = time.UnixMicro(created.Int64).UTC()
	}
	p.ParkedAt = time.UnixMicro(parkedAt).UTC()
	m.Headers, err = sqlstore.DecodeHeaders(headers.String)
	return p, err
}
