package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

// An Inbox keeps the records of inboxes. Its transactions are READ COMMITTED,
// and what they lock they read for update, so they see what is committed last.
type Inbox struct{ db *DB }

var (
	_ inbox.Store[*sql.Tx]       = (*Inbox)(nil)
	_ inbox.ParkedStore[*sql.Tx] = (*Inbox)(nil)
	_ inbox.HeldCounter          = (*Inbox)(nil)
)

// InTx runs fn in a READ COMMITTED transaction.
func (in *Inbox) InTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	return in.db.inTx(ctx, fn)
}

// Transient reports whether the error may not come again: a deadlock, a lock
// timeout, a lost connection, a server that stops or starts, a full disk.
func (in *Inbox) Transient(err error) bool { return transient(err) }

const (
	saveLaneSQL = `INSERT INTO tidings_inbox_lane
	(subscriber, source, epoch, channel, lane, last, holes, gaps, late, handled_at) VALUES `

	saveLaneRowSQL = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	savedLaneSQL = ` ON DUPLICATE KEY UPDATE last = VALUES(last), holes = VALUES(holes), gaps = VALUES(gaps),
	late = VALUES(late), handled_at = VALUES(handled_at)`

	saveSeenSQL = `INSERT INTO tidings_inbox_seen (subscriber, source, id, seen_at) VALUES `

	saveSeenRowSQL = `(?, ?, ?, UTC_TIMESTAMP(6))`

	savedSeenSQL = ` ON DUPLICATE KEY UPDATE seen_at = seen_at`

	holdSQL = `INSERT INTO tidings_inbox_held (subscriber, source, channel, message_key, since)
	VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE since = since`

	parkSQL = `INSERT INTO tidings_inbox_parked
	(subscriber, source, channel, held_key, message_id, message_key, type, subject, content_type, headers, payload,
		created_at, epoch, lane, sequence, reason, attempts, parked_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))`
)

// Save writes what has changed, lanes and ids in one statement each.
func (in *Inbox) Save(ctx context.Context, tx *sql.Tx, subscriber string, c inbox.Changes) error {
	w := &writing{ctx: ctx, tx: tx}
	if len(c.Lanes) > 0 {
		var args []any
		for i := range c.Lanes {
			l := &c.Lanes[i]
			args = append(args, subscriber, l.Lane.Source, l.Lane.Epoch, l.Lane.Channel, l.Lane.N,
				int64(l.Last), inbox.EncodeHoles(l.Holes), int64(l.Gaps), int64(l.Late), datetime(l.HandledAt))
		}
		w.exec(marked(saveLaneSQL+repeat(saveLaneRowSQL, ", ", len(c.Lanes))+savedLaneSQL, len(c.Lanes)), args...)
	}
	if len(c.IDs) > 0 {
		var args []any
		for _, id := range c.IDs {
			args = append(args, subscriber, id.Source, id.ID)
		}
		w.exec(marked(saveSeenSQL+repeat(saveSeenRowSQL, ", ", len(c.IDs))+savedSeenSQL, len(c.IDs)), args...)
	}
	for i := range c.Park {
		w.park(subscriber, &c.Park[i])
	}
	if w.err != nil {
		return fmt.Errorf("save the inbox of %q: %w", subscriber, w.err)
	}
	return nil
}

// writing runs statements until one fails.
type writing struct {
	ctx context.Context
	tx  *sql.Tx
	err error
}

func (w *writing) exec(query string, args ...any) {
	if w.err == nil {
		_, w.err = w.tx.ExecContext(w.ctx, query, args...)
	}
}

func (w *writing) park(subscriber string, p *inbox.Parked) {
	m, key := &p.Message, p.HeldKey()
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	if w.err == nil {
		w.err = err
	}
	w.exec(holdSQL, subscriber, key.Source, key.Channel, key.Key)
	w.exec(parkSQL, subscriber, m.Source, m.Channel, key.Key, m.ID, m.Key, m.Type, m.Subject, m.ContentType, headers,
		notNil(m.Payload), datetime(m.Time), m.Stamp.Epoch, m.Stamp.Lane, int64(m.Stamp.Sequence),
		sqlstore.Reason(p.Reason), p.Attempts)
}
