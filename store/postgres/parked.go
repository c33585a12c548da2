package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

const (
	requestsSQL = `SELECT source, channel, message_key FROM tidings_inbox_held
	WHERE subscriber = $1 AND retry_asked ORDER BY since, source, channel, message_key LIMIT $2`

	parkedColumns = `p.id, p.subscriber, p.source, p.channel, p.message_id, p.message_key, p.type, p.subject, p.content_type,
	p.headers, p.payload, p.created_at, p.epoch, p.lane, p.sequence, p.reason, p.attempts, p.parked_at`

	firstSQL = `SELECT ` + parkedColumns + ` FROM tidings_inbox_parked p
	WHERE p.subscriber = $1 AND p.source = $2 AND p.channel = $3 AND p.held_key = $4 ORDER BY p.id LIMIT 1`

	// The hold's row is locked by now.
	releaseSQL = `DELETE FROM tidings_inbox_held h
	WHERE h.subscriber = $1 AND h.source = $2 AND h.channel = $3 AND h.message_key = $4 AND NOT EXISTS
		(SELECT 1 FROM tidings_inbox_parked p WHERE p.subscriber = $1 AND p.source = $2 AND p.channel = $3 AND p.held_key = $4)`

	removeParkedSQL = `DELETE FROM tidings_inbox_parked WHERE id = $1 AND subscriber = $2`

	failParkedSQL = `UPDATE tidings_inbox_parked SET attempts = $3, reason = $4 WHERE id = $1 AND subscriber = $2`

	takeBackSQL = `UPDATE tidings_inbox_held SET retry_asked = false
	WHERE subscriber = $1 AND source = $2 AND channel = $3 AND message_key = $4`

	forgetSQL = `DELETE FROM tidings_inbox_seen WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM tidings_inbox_seen WHERE subscriber = $1 AND seen_at < clock_timestamp() - $2 * interval '1 microsecond'
		ORDER BY seen_at LIMIT $3 FOR UPDATE SKIP LOCKED))`

	countHeldSQL = `SELECT count(*), COALESCE((extract(epoch FROM clock_timestamp() - min(since)) * 1000000)::bigint, 0)
	FROM tidings_inbox_held WHERE subscriber = $1`
)

// onPool runs statements outside a transaction, each batch in one of its own.
func (db *DB) onPool() runner { return pgxRunner{db.pool} }

// Requests returns held keys whose retry was asked for, those first that have
// been held longest.
func (in *Inbox[Tx]) Requests(ctx context.Context, subscriber string, limit int) ([]inbox.HeldKey, error) {
	var keys []inbox.HeldKey
	err := in.db.onPool().run(ctx, statement{sql: requestsSQL, args: []any{subscriber, limit}, row: func(scan func(...any) error) error {
		var k inbox.HeldKey
		err := scan(&k.Source, &k.Channel, &k.Key)
		keys = append(keys, k)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("look for parked messages of %q to retry: %w", subscriber, in.db.advise(ctx, err))
	}
	return keys, nil
}

// First locks the key and returns its oldest parked message, in one round trip.
func (in *Inbox[Tx]) First(ctx context.Context, tx Tx, subscriber string, key inbox.HeldKey) (*inbox.Parked, error) {
	var first *inbox.Parked
	held := []bool{false}
	args := []any{subscriber, key.Source, key.Channel, key.Key}
	err := in.on(tx).run(ctx,
		statement{sql: lockKeySQL, args: args, row: mark(held)},
		statement{sql: firstSQL, args: args, row: func(scan func(...any) error) error {
			_, p, err := scanParked(scan)
			first = &p
			return err
		}},
		statement{sql: releaseSQL, args: args},
	)
	if err != nil {
		return nil, fmt.Errorf("read the first parked message of channel %q, key %q: %w", key.Channel, key.Key, err)
	}
	if !held[0] {
		return nil, nil
	}
	return first, nil
}

// scanParked reads parkedColumns, and then what more is asked for.
func scanParked(scan func(...any) error, more ...any) (subscriber string, p inbox.Parked, err error) {
	m := &p.Message
	var headers sql.NullString
	var made sql.Null[time.Time]
	var sequence int64
	err = scan(append([]any{&p.ID, &subscriber, &m.Source, &m.Channel, &m.ID, &m.Key, &m.Type, &m.Subject, &m.ContentType,
		&headers, &m.Payload, &made, &m.Stamp.Epoch, &m.Stamp.Lane, &sequence, &p.Reason, &p.Attempts, &p.ParkedAt}, more...)...)
	if err != nil {
		return "", p, err
	}
	m.Stamp.Sequence = uint64(sequence)
	p.ParkedAt = p.ParkedAt.UTC()
	if made.Valid {
		m.Time = made.V.UTC()
	}
	if m.Headers, err = sqlstore.DecodeHeaders(headers.String); err != nil {
		return "", p, fmt.Errorf("parked message %d: headers %w", p.ID, err)
	}
	return subscriber, p, nil
}

// Remove deletes a parked message.
func (in *Inbox[Tx]) Remove(ctx context.Context, tx Tx, subscriber string, id int64) error {
	if err := in.on(tx).run(ctx, statement{sql: removeParkedSQL, args: []any{id, subscriber}}); err != nil {
		return fmt.Errorf("remove parked message %d: %w", id, err)
	}
	return nil
}

// Fail writes the message's attempts and reason, and takes the request back.
func (in *Inbox[Tx]) Fail(ctx context.Context, tx Tx, subscriber string, p *inbox.Parked) error {
	key := p.HeldKey()
	err := in.on(tx).run(ctx,
		statement{sql: takeBackSQL, args: []any{subscriber, key.Source, key.Channel, key.Key}},
		statement{sql: failParkedSQL, args: []any{p.ID, subscriber, p.Attempts, sqlstore.Reason(p.Reason)}},
	)
	if err != nil {
		return fmt.Errorf("record the failed retry of parked message %d: %w", p.ID, err)
	}
	return nil
}

// Forget removes old ids, the oldest first.
func (in *Inbox[Tx]) Forget(ctx context.Context, subscriber string, age time.Duration, limit int) (int, error) {
	var n int64
	err := in.db.onPool().run(ctx, statement{sql: forgetSQL, args: []any{subscriber, age.Microseconds(), limit}, affected: &n})
	if err != nil {
		return 0, fmt.Errorf("forget seen ids of %q: %w", subscriber, in.db.advise(ctx, err))
	}
	return int(n), nil
}

// CountHeld returns how many keys are held, and for how long the oldest is.
func (in *Inbox[Tx]) CountHeld(ctx context.Context, subscriber string) (keys int, oldest time.Duration, err error) {
	var micros int64
	err = in.db.onPool().run(ctx, statement{sql: countHeldSQL, args: []any{subscriber}, row: func(scan func(...any) error) error {
		return scan(&keys, &micros)
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("count the held keys of %q: %w", subscriber, in.db.advise(ctx, err))
	}
	return keys, max(time.Duration(micros)*time.Microsecond, 0), nil
}
