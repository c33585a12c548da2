package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

const (
	requestsSQL = `SELECT source, channel, message_key FROM tidings_inbox_held
	WHERE subscriber = ? AND retry_asked = 1 ORDER BY since LIMIT ?`

	lockKeySQL = `SELECT 1 FROM tidings_inbox_held
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ? FOR UPDATE`

	firstParkedSQL = `SELECT ` + parkedColumns + ` FROM tidings_inbox_parked p
	WHERE p.subscriber = ? AND p.source = ? AND p.channel = ? AND p.held_key = ? ORDER BY p.id LIMIT 1`

	releaseKeySQL = `DELETE FROM tidings_inbox_held
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ?`

	unparkSQL = `DELETE FROM tidings_inbox_parked WHERE subscriber = ? AND id = ?`

	failSQL = `UPDATE tidings_inbox_parked SET attempts = ?, reason = ? WHERE subscriber = ? AND id = ?`

	takeBackSQL = `UPDATE tidings_inbox_held SET retry_asked = 0
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ?`

	// By the index on the age, so that it reads, and on MySQL locks, nothing
	// but old rows.
	oldIDsSQL = `SELECT source, id FROM tidings_inbox_seen FORCE INDEX (tidings_inbox_seen_age)
	WHERE subscriber = ? AND seen_at < TIMESTAMPADD(MICROSECOND, ?, UTC_TIMESTAMP(6)) ORDER BY seen_at LIMIT ?`

	forgetSQL = `DELETE s FROM (%s) w STRAIGHT_JOIN tidings_inbox_seen s
	ON s.subscriber = ? AND s.source = w.source AND s.id = w.id`

	countHeldSQL = `SELECT COUNT(*), COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(since), UTC_TIMESTAMP(6)), 0)
	FROM tidings_inbox_held WHERE subscriber = ?`
)

const parkedColumns = `p.id, p.subscriber, p.source, p.channel, p.message_id, p.message_key, p.type, p.subject,
	p.content_type, p.headers, p.payload, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', p.created_at), p.epoch, p.lane, p.sequence,
	p.reason, p.attempts, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', p.parked_at)`

// Requests returns held keys whose retry was asked for, oldest first.
func (in *Inbox) Requests(ctx context.Context, subscriber string, limit int) ([]inbox.HeldKey, error) {
	rows, err := in.db.inbox.QueryContext(ctx, requestsSQL, subscriber, limit)
	var keys []inbox.HeldKey
	if err == nil {
		err = each(rows, func() error {
			var k inbox.HeldKey
			err := rows.Scan(&k.Source, &k.Channel, &k.Key)
			keys = append(keys, k)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read retry requests of %q: %w", subscriber, err)
	}
	return keys, nil
}

// First locks the key's row, which everybody locks who parks a message of the
// key or finds it held, and returns the oldest message, or releases the key.
func (in *Inbox) First(ctx context.Context, tx *sql.Tx, subscriber string, key inbox.HeldKey) (*inbox.Parked, error) {
	p, err := first(ctx, tx, subscriber, key)
	if err != nil {
		return nil, fmt.Errorf("read the first parked message of %q: %w", subscriber, err)
	}
	return p, nil
}

func first(ctx context.Context, tx *sql.Tx, subscriber string, key inbox.HeldKey) (*inbox.Parked, error) {
	held, err := lockKey(ctx, tx, subscriber, key)
	if err != nil || !held {
		return nil, err
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

// lockKey returns false where the key is not held.
func lockKey(ctx context.Context, tx *sql.Tx, subscriber string, key inbox.HeldKey) (bool, error) {
	var one int
	err := tx.QueryRowContext(ctx, lockKeySQL, subscriber, key.Source, key.Channel, key.Key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
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
	w.exec(takeBackSQL, subscriber, key.Source, key.Channel, key.Key)
	w.exec(failSQL, p.Attempts, sqlstore.Reason(p.Reason), subscriber, p.ID)
	if w.err != nil {
		return fmt.Errorf("record a failed attempt at parked message %d: %w", p.ID, w.err)
	}
	return nil
}

// Forget removes old ids.
func (in *Inbox) Forget(ctx context.Context, subscriber string, age time.Duration, limit int) (int, error) {
	n, err := in.forget(ctx, subscriber, age, limit)
	if err != nil {
		return n, fmt.Errorf("forget seen ids of %q: %w", subscriber, err)
	}
	return n, nil
}

func (in *Inbox) forget(ctx context.Context, subscriber string, age time.Duration, limit int) (int, error) {
	rows, err := in.db.inbox.QueryContext(ctx, oldIDsSQL, subscriber, -age.Microseconds(), limit)
	if err != nil {
		return 0, err
	}
	var old []inbox.MessageID
	err = each(rows, func() error {
		var id inbox.MessageID
		err := rows.Scan(&id.Source, &id.ID)
		old = append(old, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	removed := 0
	for some := range slices.Chunk(old, listed) {
		var args []any
		for _, id := range some {
			args = append(args, idArgs(id)...)
		}
		query := fmt.Sprintf(forgetSQL, list(idListSQL, upTo(0, len(some))))
		result, err := in.db.inbox.ExecContext(ctx, query, append(args, subscriber)...)
		if err != nil {
			return removed, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return removed, err
		}
		removed += int(n)
	}
	return removed, nil
}

// CountHeld returns how many keys are held, and for how long the oldest is.
func (in *Inbox) CountHeld(ctx context.Context, subscriber string) (int, time.Duration, error) {
	var keys int
	var age int64
	if err := in.db.inbox.QueryRowContext(ctx, countHeldSQL, subscriber).Scan(&keys, &age); err != nil {
		return 0, 0, fmt.Errorf("count the held keys of %q: %w", subscriber, err)
	}
	return keys, max(time.Duration(age)*time.Microsecond, 0), nil
}
