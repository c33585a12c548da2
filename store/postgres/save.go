package postgres

import (
	"context"
	"fmt"
	"time"

	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

const (
	saveLaneSQL = `UPDATE tidings_inbox_lane SET last = $6, holes = $7, gaps = $8, late = $9, handled_at = $10
	WHERE subscriber = $1 AND source = $2 AND epoch = $3 AND channel = $4 AND lane = $5`

	saveLanesSQL = `UPDATE tidings_inbox_lane l SET last = c.last, holes = c.holes, gaps = c.gaps, late = c.late, handled_at = c.handled_at
	FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bigint[], $9::bigint[], $10::timestamptz[])
		AS c (source, epoch, channel, lane, last, holes, gaps, late, handled_at)
	WHERE l.subscriber = $1 AND l.source = c.source AND l.epoch = c.epoch AND l.channel = c.channel AND l.lane = c.lane`

	// An id that is there already was recorded by a transaction that did not
	// wait for this one: an error, so that one of the two has no effect.
	saveSeenSQL = `INSERT INTO tidings_inbox_seen (subscriber, source, id)
	SELECT DISTINCT $1, c.source, c.id FROM unnest($2::text[], $3::text[]) AS c (source, id)`

	holdSQL = `INSERT INTO tidings_inbox_held (subscriber, source, channel, message_key) VALUES ($1, $2, $3, $4)
	ON CONFLICT (subscriber, source, channel, message_key) DO NOTHING`

	parkSQL = `INSERT INTO tidings_inbox_parked (subscriber, source, channel, held_key, message_id, message_key, type, subject,
		content_type, headers, payload, created_at, epoch, lane, sequence, reason, attempts)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
)

// Save writes in one round trip (one for each statement with database/sql).
func (in *Inbox[Tx]) Save(ctx context.Context, tx Tx, subscriber string, c inbox.Changes) error {
	var all []statement
	switch {
	case len(c.Lanes) == 1:
		all = append(all, saveLane(subscriber, &c.Lanes[0]))
	case len(c.Lanes) > 1:
		all = append(all, saveLanes(subscriber, c.Lanes))
	}
	if len(c.IDs) > 0 {
		all = append(all, statement{sql: saveSeenSQL, args: append([]any{subscriber}, idArrays(c.IDs)...)})
	}
	held := map[inbox.HeldKey]bool{}
	for i := range c.Park {
		p := &c.Park[i]
		if key := p.HeldKey(); !held[key] {
			held[key] = true
			all = append(all, statement{sql: holdSQL, args: []any{subscriber, key.Source, key.Channel, key.Key}})
		}
		park, err := parkStatement(subscriber, p)
		if err != nil {
			return fmt.Errorf("park message %q: %w", p.Message.ID, err)
		}
		all = append(all, park)
	}
	if len(all) == 0 {
		return nil
	}
	if err := in.on(tx).run(ctx, all...); err != nil {
		return fmt.Errorf("save the inbox of %q: %w", subscriber, err)
	}
	return nil
}

func saveLane(subscriber string, l *inbox.LaneState) statement {
	return statement{sql: saveLaneSQL, args: []any{subscriber, l.Lane.Source, l.Lane.Epoch, l.Lane.Channel, l.Lane.N,
		int64(l.Last), inbox.EncodeHoles(l.Holes), int64(l.Gaps), int64(l.Late), orNull(l.HandledAt)}}
}

func saveLanes(subscriber string, lanes []inbox.LaneState) statement {
	n := len(lanes)
	sources, epochs, channels, numbers := make([]string, n), make([]string, n), make([]string, n), make([]int64, n)
	last, gaps, late := make([]int64, n), make([]int64, n), make([]int64, n)
	holes, handled := make([][]byte, n), make([]*time.Time, n)
	for i := range lanes {
		l := &lanes[i]
		sources[i], epochs[i], channels[i], numbers[i] = l.Lane.Source, l.Lane.Epoch, l.Lane.Channel, int64(l.Lane.N)
		last[i], gaps[i], late[i] = int64(l.Last), int64(l.Gaps), int64(l.Late)
		holes[i], handled[i] = inbox.EncodeHoles(l.Holes), orNull(l.HandledAt)
	}
	return statement{sql: saveLanesSQL, args: []any{subscriber, sources, epochs, channels, numbers, last, holes, gaps, late, handled}}
}

func parkStatement(subscriber string, p *inbox.Parked) (statement, error) {
	m, key := &p.Message, p.HeldKey()
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	return statement{sql: parkSQL, args: []any{subscriber, m.Source, m.Channel, key.Key, m.ID, m.Key, m.Type, m.Subject,
		m.ContentType, headers, notNil(m.Payload), orNull(m.Time), m.Stamp.Epoch, m.Stamp.Lane, int64(m.Stamp.Sequence),
		sqlstore.Reason(p.Reason), p.Attempts}}, err
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
