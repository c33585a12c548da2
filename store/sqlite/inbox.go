package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/internal/sqlstore"
)

// An Inbox keeps the records of inboxes. Its transactions write from the start,
// one at a time, so what they lock is locked already.
type Inbox struct{ db *DB }

var (
	_ inbox.Store[*sql.Tx]       = (*Inbox)(nil)
	_ inbox.ParkedStore[*sql.Tx] = (*Inbox)(nil)
	_ inbox.HeldCounter          = (*Inbox)(nil)
)

// InTx runs fn in a write transaction.
func (in *Inbox) InTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	return in.db.inTx(ctx, fn)
}

// Transient reports whether the error may not come again: the database was
// locked, the disk was full.
func (in *Inbox) Transient(err error) bool { return transient(err) }

const (
	// lockSQL changes nothing and takes the write lock, for transactions on a
	// pool of the user's own that began without it. Only from then on does such
	// a transaction see the database, so what it reads is the latest.
	lockSQL = mark + `DELETE FROM tidings_inbox_lane WHERE 0`

	laneSQL = mark + `SELECT last, holes, gaps, late, handled_at FROM tidings_inbox_lane
	WHERE subscriber = ? AND source = ? AND epoch = ? AND channel = ? AND lane = ?`

	addLaneSQL = mark + `INSERT INTO tidings_inbox_lane (subscriber, source, epoch, channel, lane) VALUES (?, ?, ?, ?, ?)`

	heldSQL = mark + `SELECT EXISTS (SELECT 1 FROM tidings_inbox_held
	WHERE subscriber = ? AND source = ? AND channel = ? AND message_key = ?)`

	seenSQL = mark + `SELECT EXISTS (SELECT 1 FROM tidings_inbox_seen WHERE subscriber = ? AND source = ? AND id = ?)`
)

// Lock reads the records, and creates those of lanes that have none.
func (in *Inbox) Lock(ctx context.Context, tx *sql.Tx, subscriber string, want inbox.Want) (inbox.Records, error) {
	if !in.db.queued {
		if _, err := tx.ExecContext(ctx, lockSQL); err != nil {
			return inbox.Records{}, fmt.Errorf("lock the inbox of %q: %w", subscriber, err)
		}
	}
	r := inbox.Records{
		Lanes: make([]inbox.LaneState, len(want.Lanes)),
		Held:  make([]bool, len(want.Keys)),
		Seen:  make([]bool, len(want.IDs)),
	}
	for i, lane := range want.Lanes {
		state, err := readLane(ctx, tx, subscriber, lane)
		if err != nil {
			return inbox.Records{}, fmt.Errorf("read lane %d of channel %q for %q: %w", lane.N, lane.Channel, subscriber, err)
		}
		r.Lanes[i] = state
	}
	for i, k := range want.Keys {
		err := tx.QueryRowContext(ctx, heldSQL, subscriber, k.Source, k.Channel, k.Key).Scan(&r.Held[i])
		if err != nil {
			return inbox.Records{}, fmt.Errorf("read the held keys of %q: %w", subscriber, err)
		}
	}
	for i, id := range want.IDs {
		err := tx.QueryRowContext(ctx, seenSQL, subscriber, id.Source, id.ID).Scan(&r.Seen[i])
		if err != nil {
			return inbox.Records{}, fmt.Errorf("read the seen ids of %q: %w", subscriber, err)
		}
	}
	return r, nil
}

func readLane(ctx context.Context, tx *sql.Tx, subscriber string, lane tidings.Lane) (inbox.LaneState, error) {
	rows, err := tx.QueryContext(ctx, laneSQL, subscriber, lane.Source, lane.Epoch, lane.Channel, lane.N)
	if err != nil {
		return inbox.LaneState{}, err
	}
	defer rows.Close()
	state := inbox.LaneState{Lane: lane}
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return state, err
		}
		_ = rows.Close() // before the next statement on the same connection
		_, err := tx.ExecContext(ctx, addLaneSQL, subscriber, lane.Source, lane.Epoch, lane.Channel, lane.N)
		return state, err
	}
	var holes []byte
	var handled sql.NullInt64
	if err := rows.Scan(&state.Last, &holes, &state.Gaps, &state.Late, &handled); err != nil {
		return state, err
	}
	if handled.Valid {
		state.HandledAt = time.UnixMicro(handled.Int64).UTC()
	}
	state.Holes, err = inbox.DecodeHoles(holes)
	return state, err
}

const (
	saveLaneSQL = mark + `INSERT INTO tidings_inbox_lane
	(subscriber, source, epoch, channel, lane, last, holes, gaps, late, handled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (subscriber, source, epoch, channel, lane) DO UPDATE SET last = excluded.last, holes = excluded.holes,
		gaps = excluded.gaps, late = excluded.late, handled_at = excluded.handled_at`

	saveSeenSQL = mark + `INSERT INTO tidings_inbox_seen (subscriber, source, id, seen_at) VALUES (?, ?, ?, ?)
	ON CONFLICT (subscriber, source, id) DO NOTHING`

	holdSQL = mark + `INSERT INTO tidings_inbox_held (subscriber, source, channel, message_key, since) VALUES (?, ?, ?, ?, ?)
	ON CONFLICT (subscriber, source, channel, message_key) DO NOTHING`

	parkSQL = mark + `INSERT INTO tidings_inbox_parked
	(subscriber, source, channel, held_key, message_id, message_key, type, subject, content_type, headers, payload,
		created_at, epoch, lane, sequence, reason, attempts, parked_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// Save writes what has changed. Parked messages get their time here.
func (in *Inbox) Save(ctx context.Context, tx *sql.Tx, subscriber string, c inbox.Changes) error {
	w := &writing{ctx: ctx, tx: tx}
	now := in.db.now().UnixMicro()
	for i := range c.Lanes {
		l := &c.Lanes[i]
		w.exec(saveLaneSQL, subscriber, l.Lane.Source, l.Lane.Epoch, l.Lane.Channel, l.Lane.N,
			int64(l.Last), inbox.EncodeHoles(l.Holes), int64(l.Gaps), int64(l.Late), microsOrNull(l.HandledAt))
	}
	for _, id := range c.IDs {
		w.exec(saveSeenSQL, subscriber, id.Source, id.ID, now)
	}
	for i := range c.Park {
		w.park(subscriber, &c.Park[i], now)
	}
	if w.err != nil {
		return fmt.Errorf("save the inbox of %q: %w", subscriber, w.err)
	}
	return nil
}

func (w *writing) park(subscriber string, p *inbox.Parked, now int64) {
	m, key := &p.Message, p.HeldKey()
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	if w.err == nil {
		w.err = err
	}
	payload := m.Payload
	if payload == nil {
		payload = []byte{}
	}
	w.exec(holdSQL, subscriber, key.Source, key.Channel, key.Key, now)
	w.exec(parkSQL, subscriber, m.Source, m.Channel, key.Key, m.ID, m.Key, m.Type, m.Subject, m.ContentType, headers, payload,
		microsOrNull(m.Time), m.Stamp.Epoch, m.Stamp.Lane, int64(m.Stamp.Sequence), sqlstore.Reason(p.Reason), p.Attempts, now)
}

func microsOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}
