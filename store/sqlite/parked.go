package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

const (
	requestsSQL = mark + `SELECT source, channel, message_key FROM tidings_inbox_held
	WHERE subscriber = ? AND retry_asked <> 0 ORDER BY since LIMIT ?`

	firstParkedSQL = mark + `SELECT ` + parkedColumns + ` FROM tidings_inbox_parked p
	WHERE p.subscriber = ? AND p.source = ? AND p.channel = ? AND p.held_key = ? ORDER BY p.id LIMIT 1`

	releaseKeySQL = mark + `DELETE FROM tidings_inbox_held
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ?`

	unparkSQL = mark + `DELETE FROM tidings_inbox_parked WHERE subscriber = ? AND id = ?`

	failSQL = mark + `UPDATE tidings_inbox_parked SET attempts = ?, reason = ? WHERE subscriber = ? AND id = ?`

	takeBackSQL = mark + `UPDATE tidings_inbox_held SET retry_asked = 0
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ?`

	forgetSQL = mark + `DELETE FROM tidings_inbox_seen WHERE (subscriber, source, id) IN (
	SELECT subscriber, source, id FROM tidings_inbox_seen WHERE subscriber = ? AND seen_at < ? LIMIT ?)`

	countHeldSQL = mark + `SELECT COUNT(*), COALESCE(MIN(since), 0) FROM tidings_inbox_held WHERE subscriber = ?`
)

const parkedColumns = `p.id, p.subscriber, p.source, p.channel, p.message_id, p.message_key, p.type, p.subject,
	p.content_type, p.headers, p.payload, p.created_at, p.epoch, p.lane, p.sequence, p.reason, p.attempts, p.parked_at`

// Requests returns held keys whose retry was asked for, oldest first.
func (in *Inbox) Requests(ctx context.Context, subscriber string, limit int) ([]inbox.HeldKey, error) {
	rows, err := in.db.sql.QueryContext(ctx, requestsSQL, subscriber, limit)
	if err != nil {
		return nil, fmt.Errorf("read retry requests of %q: %w", subscriber, err)
	}
	defer rows.Close()
	var keys []inbox.HeldKey
	for rows.Next() {
		var k inbox.HeldKey
		if err := rows.Scan(&k.Source, &k.Channel, &k.Key); err != nil {
			return nil, fmt.Errorf("read retry requests of %q: %w", subscriber, err)
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// First returns the key's oldest parked message, or releases the key.
func (in *Inbox) First(ctx context.Context, tx *sql.Tx, subscriber string, key inbox.HeldKey) (*inbox.Parked, error) {
	p, err := in.first(ctx, tx, subscriber, key)
	if err != nil {
		return nil, fmt.Errorf("read the first parked message of %q: %w", subscriber, err)
	}
	return p, nil
}

func (in *Inbox) first(ctx context.Context, tx *sql.Tx, subscriber string, key inbox.HeldKey) (*inbox.Parked, error) {
	if !in.db.queued {
		if _, err := tx.ExecContext(ctx, lockSQL); err != nil {
			return nil, err
		}
	}
	p, err := scanParked(tx.QueryRowContext(ctx, firstParkedSQL, subscriber, key.Source, key.Channel, key.Key))
	if errors.Is(err, sql.ErrNoRows) {
		_, err := tx.ExecContext(ctx, releaseKeySQL, subscriber, key.Source, key.Channel, key.Key)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return &inbox.Parked{ID: p.ID, Message: p.Message, Reason: p.Reason, Attempts: p.Attempts, ParkedAt: p.ParkedAt}, nil
}

// Remove deletes a parked message.
func (in *Inbox) Remove(ctx context.Context, tx *sql.Tx, subscriber string, id int64) error {
	if _, err := tx.ExecContext(ctx, unparkSQL, subscriber, id); err != nil {
		return fmt.Errorf("remove parked message %d: %w", id, err)
	}
	return nil
}

// Fail writes the message's attempts and reason, and takes the request back.
func (in *Inbox) Fail(ctx context.Context, tx *sql.Tx, subscriber string, p *inbox.Parked) error {
	key := p.HeldKey()
	w := &writing{ctx: ctx, tx: tx}
	w.exec(failSQL, p.Attempts, sqlstore.Reason(p.Reason), subscriber, p.ID)
	w.exec(takeBackSQL, subscriber, key.Source, key.Channel, key.Key)
	if w.err != nil {
		return fmt.Errorf("record a failed attempt at parked message %d: %w", p.ID, w.err)
	}
	return nil
}

// Forget removes old ids.
func (in *Inbox) Forget(ctx context.Context, subscriber string, age time.Duration, limit int) (int, error) {
	result, err := in.db.sql.ExecContext(ctx, forgetSQL, subscriber, in.db.now().Add(-age).UnixMicro(), limit)
	if err != nil {
		return 0, fmt.Errorf("forget seen ids of %q: %w", subscriber, err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// CountHeld returns how many keys are held, and for how long the oldest is.
func (in *Inbox) CountHeld(ctx context.Context, subscriber string) (int, time.Duration, error) {
	var keys int
	var since int64
	if err := in.db.sql.QueryRowContext(ctx, countHeldSQL, subscriber).Scan(&keys, &since); err != nil {
		return 0, 0, fmt.Errorf("count the held keys of %q: %w", subscriber, err)
	}
	if keys == 0 {
		return 0, 0, nil
	}
	return keys, max(in.db.now().Sub(time.UnixMicro(since)), 0), nil
}
