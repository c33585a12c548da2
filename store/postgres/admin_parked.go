package postgres

import (
	"context"
	"fmt"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
)

const (
	// How many of the key come before, and whether a retry is asked for.
	parkedState = `, (SELECT count(*) FROM tidings_inbox_parked b WHERE b.subscriber = p.subscriber AND b.source = p.source
		AND b.channel = p.channel AND b.held_key = p.held_key AND b.id < p.id),
	COALESCE((SELECT h.retry_asked FROM tidings_inbox_held h WHERE h.subscriber = p.subscriber AND h.source = p.source
		AND h.channel = p.channel AND h.message_key = p.held_key), false)`

	// The payload is left out. An empty filter value selects everything.
	listParkedSQL = `SELECT p.id, p.subscriber, p.source, p.channel, p.message_id, p.message_key, p.type, p.subject,
	p.content_type, p.headers, NULL::bytea, p.created_at, p.epoch, p.lane, p.sequence, p.reason, p.attempts, p.parked_at` + parkedState + `
	FROM tidings_inbox_parked p
	WHERE p.id > $1 AND ($2 = '' OR p.subscriber = $2) AND ($3 = '' OR p.channel = $3) AND ($4 = '' OR p.held_key = $4)
		AND (NOT $5::boolean OR NOT EXISTS (SELECT 1 FROM tidings_inbox_parked b WHERE b.subscriber = p.subscriber
			AND b.source = p.source AND b.channel = p.channel AND b.held_key = p.held_key AND b.id < p.id))
	ORDER BY p.id LIMIT $6`

	getParkedSQL = `SELECT ` + parkedColumns + parkedState + ` FROM tidings_inbox_parked p WHERE p.id = $1`

	// The hold first, as an inbox does, which then reads the message: so two who
	// change the same do it one after the other.
	lockHoldSQL = `SELECT 1 FROM tidings_inbox_held h WHERE (h.subscriber, h.source, h.channel, h.message_key) =
		(SELECT p.subscriber, p.source, p.channel, p.held_key FROM tidings_inbox_parked p WHERE p.id = $1) FOR UPDATE`

	askRetrySQL = `UPDATE tidings_inbox_held SET retry_asked = true
	WHERE subscriber = $1 AND source = $2 AND channel = $3 AND message_key = $4`

	editParkedSQL = `UPDATE tidings_inbox_parked SET payload = $2 WHERE id = $1`

	discardParkedSQL = `DELETE FROM tidings_inbox_parked WHERE id = $1`
)

// ListParked returns parked messages without payloads.
func (a *Admin) ListParked(ctx context.Context, f admin.ParkedFilter) ([]admin.ParkedMessage, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	var all []admin.ParkedMessage
	err := a.db.onPool().run(ctx, statement{sql: listParkedSQL, args: []any{f.After, f.Subscriber, f.Channel, f.Key, f.Heads, limit},
		row: func(scan func(...any) error) error {
			p, err := scanParkedMessage(scan)
			all = append(all, p)
			return err
		}})
	if err != nil {
		return nil, fmt.Errorf("list parked messages: %w", a.db.advise(ctx, err))
	}
	return all, nil
}

func scanParkedMessage(scan func(...any) error) (admin.ParkedMessage, error) {
	var behind int
	var retry bool
	subscriber, p, err := scanParked(scan, &behind, &retry)
	return admin.ParkedMessage{ID: p.ID, Subscriber: subscriber, Message: p.Message, Reason: p.Reason, Attempts: p.Attempts,
		ParkedAt: p.ParkedAt, Behind: behind, RetryAsked: retry}, err
}

// GetParked returns one parked message, whole.
func (a *Admin) GetParked(ctx context.Context, id int64) (admin.ParkedMessage, error) {
	p, err := getParked(ctx, a.db.onPool(), id)
	if err != nil {
		return admin.ParkedMessage{}, fmt.Errorf("get parked message: %w", a.db.advise(ctx, err))
	}
	return p, nil
}

func getParked(ctx context.Context, r runner, id int64) (p admin.ParkedMessage, err error) {
	found := false
	err = r.run(ctx, statement{sql: getParkedSQL, args: []any{id}, row: func(scan func(...any) error) (err error) {
		found = true
		p, err = scanParkedMessage(scan)
		return err
	}})
	if err == nil && !found {
		err = fmt.Errorf("id %d: %w", id, admin.ErrNotFound)
	}
	return p, err
}

// lockParked locks the message's hold and returns the message.
func lockParked(ctx context.Context, r runner, id int64) (admin.ParkedMessage, error) {
	if err := r.run(ctx, statement{sql: lockHoldSQL, args: []any{id}}); err != nil {
		return admin.ParkedMessage{}, err
	}
	return getParked(ctx, r, id)
}

func askRetry(p *admin.ParkedMessage) statement {
	m := &p.Message
	return statement{sql: askRetrySQL, args: []any{p.Subscriber, m.Source, m.Channel, m.OrderingKey()}}
}

// RetryParked marks the message's key for the subscriber's inbox to work off.
func (a *Admin) RetryParked(ctx context.Context, id int64, act admin.Action) error {
	return a.change(ctx, "retry parked message", act, func(r runner) (string, string, error) {
		p, err := lockParked(ctx, r, id)
		if err != nil {
			return "", "", err
		}
		return sqlstore.ParkedTarget(&p), "", r.run(ctx, askRetry(&p))
	})
}

// EditParked replaces the payload.
func (a *Admin) EditParked(ctx context.Context, id int64, payload []byte, act admin.Action) error {
	if len(payload) > tidings.MaxPayload {
		return fmt.Errorf("edit parked message: %w", &tidings.InvalidError{Field: "payload",
			Rule: fmt.Sprintf("has %d bytes, more than %d", len(payload), tidings.MaxPayload)})
	}
	return a.change(ctx, "edit parked message", act, func(r runner) (string, string, error) {
		p, err := lockParked(ctx, r, id)
		if err != nil {
			return "", "", err
		}
		detail, err := sqlstore.EditDetail(p.Message.Payload)
		if err != nil {
			return "", "", err
		}
		return sqlstore.ParkedTarget(&p), detail, r.run(ctx, statement{sql: editParkedSQL, args: []any{id, notNil(payload)}})
	})
}

// DiscardParked removes the message. If it was the first of its key, the inbox is
// asked to go on with the next, or to release the key; if not, the first one
// still has to be dealt with.
func (a *Admin) DiscardParked(ctx context.Context, id int64, act admin.Action) error {
	return a.change(ctx, "discard parked message", act, func(r runner) (string, string, error) {
		p, err := lockParked(ctx, r, id)
		if err != nil {
			return "", "", err
		}
		detail, err := sqlstore.ParkedDetail(&p)
		if err != nil {
			return "", "", err
		}
		all := []statement{{sql: discardParkedSQL, args: []any{id}}}
		if p.Behind == 0 {
			all = append(all, askRetry(&p))
		}
		return sqlstore.ParkedTarget(&p), detail, r.run(ctx, all...)
	})
}
